"""The state of a shard, copied out of it and added to it: under its lock, and without the interpreter's."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from tidal._ext.decay cimport ShardState
from tidal._ext.window_columns cimport Column, Entry
from tidal._ext.windows cimport HOUR_COLUMNS

cdef enum:
    RINGS = 2           # minutes, hours

# The columns of one ring by their buckets, as they were: their slots and entries lie in the copy's.
cdef struct RingCopy:
    int64_t newest              # the bucket of the clock
    int columns
    int64_t buckets[HOUR_COLUMNS]
    Column copied[HOUR_COLUMNS]

# A shard's state as it was under the lock. Its parts lie in a block of memory that its owner made.
cdef struct Copy:
    size_t rows_room
    size_t entries_room
    size_t slots_room
    uint64_t *entity_ids
    int64_t *last_times
    double *sums                # sum_count for each row
    uint64_t *totals
    Entry *entries
    uint32_t *slots
    size_t row_count
    int sum_count
    bint hour_in_minutes        # the clock's hour has no column of its own
    RingCopy rings[RINGS]

# The columns of one ring of another shard, as Shard.save() gives them.
cdef struct RingArrays:
    Py_ssize_t columns
    const int64_t *buckets
    const int64_t *ends
    const uint32_t *slots
    const uint32_t *counts

cdef object make_room(ShardState *state, Copy *copy)
cdef bint has_room(ShardState *state, const Copy *copy) noexcept nogil
cdef int take_copy(ShardState *state, int64_t clock, Copy *copy) noexcept nogil
cdef dict arrays_of(const Copy *copy, block)
cdef int add_columns(
    ShardState *state, int ring, const RingArrays *theirs, const uint32_t *slots) noexcept nogil
