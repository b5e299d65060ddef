"""The shards of one signal type, as other compiled modules call them."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from tidal._ext.decay cimport ShardState
from tidal._ext.layout cimport Lock

cdef enum:
    SHARDS_MAX = 256
    DEALT = 8192        # events dealt out to the shards at a time: they fit the cache on the way

# Room to deal out one block of events, by shard.
cdef struct Deal:
    uint64_t entity_ids[DEALT]
    int64_t times[DEALT]
    float weights[DEALT]
    uint8_t homes[DEALT]
    int64_t ends[SHARDS_MAX + 1]    # shard s has [ends[s - 1], ends[s])


cdef inline int64_t wall_clock() noexcept nogil:
    """Now, in ns since the epoch."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


cdef class ShardSet:
    cdef list shards
    cdef ShardState *states[SHARDS_MAX]
    cdef uint32_t count
    cdef uint32_t turn
    cdef bint started
    cdef Lock claims                        # of what follows
    cdef uint32_t[SHARDS_MAX] gatherings    # how many are applying what they have to this shard
    cdef int64_t newest     # the type's clock; changed with the GIL held, so in one step

    # noexcept: integers and shard memory only, so there is nothing that could be raised and lost.
    cdef int64_t not_before_clock(self, int64_t t) noexcept
    cdef int64_t move_clock(self, int64_t t) noexcept
    cdef int add_one(self, uint64_t entity_id, float weight, int64_t t) except -1
    cdef double score_one(self, uint64_t entity_id, int position, int64_t t) noexcept
    cdef double score_now(self, uint64_t entity_id, int position) noexcept
    cdef void read_scores(
        self, const uint64_t *entity_ids, Py_ssize_t count, int position, int64_t t, double *scores_out
    ) noexcept nogil
    cdef uint64_t count_one(self, uint64_t entity_id, int window, int64_t t, bint roll) except? 0
    cdef uint32_t next_turn(self) noexcept
    cdef uint64_t entities(self) noexcept nogil
    cdef int ingest_dealt(self, Deal *deal, uint32_t first) noexcept nogil
    cdef void acquire_all(self) noexcept nogil
    cdef void unlock_all(self) noexcept nogil
