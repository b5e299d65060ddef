"""What each block of records holds at most, so that `top` reads few of them.

Nothing is kept before the first `top`. From then on an event marks the block of its record, and the next
`top` looks at the marked blocks anew. Marking is an economy and no duty: events that were applied without it
are found by their number, and then all blocks are looked at.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from tidal._ext.layout cimport HotRecord

cdef enum:
    BLOCK_BITS = 7          # 128 records: 8 KiB
    BLOCK_ROWS = 1 << BLOCK_BITS
    BY_SUM = 0              # what is bounded: sums, under the lock of the records
    BY_COUNT = 1            # running counts and totals, under the lock of the shard
    BOUNDED = 2
    MARKED = 0x0101         # for both
    LARGEST = 4             # three sums; or three running counts, and the total

cdef struct BlockBound:
    double largest[LARGEST]
    int64_t oldest          # of last_time
    int64_t newest

cdef struct Bounds:
    uint16_t *marks         # NULL before the first top; a byte for each of BOUNDED
    BlockBound *blocks[BOUNDED]
    uint32_t block_count
    uint64_t marked         # events that marked their block
    uint64_t unmarked[BOUNDED]  # and that did not, when all blocks were looked at

cdef bint covers(const Bounds *bounds, uint64_t rows) noexcept nogil
cdef void grow_bounds(Bounds *bounds, uint64_t rows) noexcept nogil
cdef void look_at_block(
    Bounds *bounds, int what, const HotRecord *rows, uint32_t count, uint32_t block) noexcept nogil
cdef uint32_t look_at_marked(
    Bounds *bounds, int what, const HotRecord *rows, uint32_t count, uint64_t events) noexcept nogil
cdef void look_at_all(Bounds *bounds, int what) noexcept nogil
cdef void close_bounds(Bounds *bounds) noexcept nogil
