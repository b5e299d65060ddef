"""The state of a shard, copied out of it and added to it: under its lock, and without the interpreter's."""

from libc.stdint cimport int64_t, uint32_t

from tidal._ext.decay cimport ShardState
from tidal._ext.layout cimport HotRecord
from tidal._ext.windows cimport HOUR_COLUMNS, Entry

cdef enum:
    RINGS = 2           # minutes, hours

# All columns of one ring, one after the other: column i is entries[ends[i - 1]:ends[i]].
cdef struct RingCopy:
    int columns
    int64_t buckets[HOUR_COLUMNS]
    int64_t ends[HOUR_COLUMNS]
    Entry *entries

cdef struct Copy:
    uint32_t row_count
    HotRecord *rows
    RingCopy rings[RINGS]

# The columns of one ring of another shard, as Shard.save() gives them.
cdef struct RingArrays:
    Py_ssize_t columns
    const int64_t *buckets
    const int64_t *ends
    const uint32_t *slots
    const uint32_t *counts

cdef int take_copy(ShardState *state, int64_t clock, Copy *copy) noexcept nogil
cdef void free_copy(Copy *copy) noexcept nogil
cdef dict arrays_of(const Copy *copy)
cdef int add_columns(
    ShardState *state, int ring, const RingArrays *theirs, const uint32_t *slots) noexcept nogil
