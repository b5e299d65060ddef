"""Events that wait to be applied by entity: what gathering them by id and by place have in common."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from tidal._ext.decay cimport is_late
from tidal._ext.shards cimport SHARDS_MAX, ShardSet

# The times of what came to each shard, applied or not. They are looked at as events come, for heaps know
# nothing of the order between entities.
cdef struct Arrivals:
    int64_t fine_ns
    int64_t oldest                      # about: the oldest first event of a batch that waits
    int64_t[SHARDS_MAX] newest
    int64_t[SHARDS_MAX] late_before
    uint64_t[SHARDS_MAX] late


cdef inline void arrive(Arrivals *arrivals, uint32_t shard, int64_t t) noexcept nogil:
    arrivals.newest[shard] = max(arrivals.newest[shard], t)
    if arrivals.fine_ns:
        arrivals.late[shard] += is_late(t, &arrivals.late_before[shard], arrivals.fine_ns)


cdef class Gathering:
    cdef ShardSet shards
    cdef Arrivals arrivals
    cdef int64_t waiting
    cdef bint broken        # there was no memory: what waits is no longer what came

    cdef int check(self, int failed) except -1
    cdef int64_t expect(self, int64_t first) noexcept nogil
    cdef size_t room_in_buckets(self, int64_t newest) noexcept nogil
    cdef void expect_events(self, size_t room) noexcept nogil
    cdef int apply_waiting(self, uint32_t first) noexcept nogil
    cdef int apply_to(self, uint32_t shard) noexcept nogil
    cdef uint32_t claim(self, uint32_t first, bint *done) noexcept nogil
    cdef void release(self, uint32_t shard) noexcept nogil
