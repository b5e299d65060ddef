"""The bounds of blocks of records: made, kept up, and given room for more."""

from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT64_MAX, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef bint covers(const Bounds *bounds, uint64_t rows) noexcept nogil:
    """Whether each of so many rows has a block."""
    return rows <= <uint64_t>bounds.block_count << BLOCK_BITS


cdef void grow_bounds(Bounds *bounds, uint64_t rows) noexcept nogil:
    """Make blocks for so many rows and half as many again. Without memory for them there are none.

    The caller holds both locks.
    """
    cdef int what
    close_bounds(bounds)
    bounds.block_count = <uint32_t>((rows + rows // 2 >> BLOCK_BITS) + 1)
    bounds.marks = <uint16_t *>calloc(bounds.block_count, sizeof(uint16_t))
    for what in range(BOUNDED):
        bounds.blocks[what] = <BlockBound *>calloc(bounds.block_count, sizeof(BlockBound))
    if bounds.marks == NULL or bounds.blocks[BY_SUM] == NULL or bounds.blocks[BY_COUNT] == NULL:
        close_bounds(bounds)
        return
    memset(bounds.marks, 0xFF, bounds.block_count * sizeof(uint16_t))


cdef void close_bounds(Bounds *bounds) noexcept nogil:
    cdef int what
    free(bounds.marks)
    for what in range(BOUNDED):
        free(bounds.blocks[what])
    memset(bounds, 0, sizeof(Bounds))


cdef void look_at_block(
    Bounds *bounds, int what, const HotRecord *rows, uint32_t count, uint32_t block
) noexcept nogil:
    """Set a block's bounds to what its records hold. ``count``: how many rows there are."""
    cdef BlockBound *bound = &bounds.blocks[what][block]
    cdef uint32_t slot
    cdef int i
    for i in range(LARGEST):
        bound.largest[i] = -INFINITY
    bound.oldest, bound.newest = INT64_MAX, INT64_MIN
    for slot in range(block << BLOCK_BITS, min(count, block + 1 << BLOCK_BITS)):
        for i in range(3):
            bound.largest[i] = max(
                bound.largest[i], rows[slot].sums[i] if what == BY_SUM else <double>rows[slot].windows[i])
        bound.largest[3] = max(bound.largest[3], <double>rows[slot].total)
        bound.oldest = min(bound.oldest, rows[slot].last_time)
        bound.newest = max(bound.newest, rows[slot].last_time)


cdef void look_at_all(Bounds *bounds, int what) noexcept nogil:
    """Have all blocks looked at by the next look_at_marked()."""
    bounds.unmarked[what] = UINT64_MAX


cdef uint32_t look_at_marked(
    Bounds *bounds, int what, const HotRecord *rows, uint32_t count, uint64_t events
) noexcept nogil:
    """Look at the marked blocks; return how many blocks have rows. ``events``: of the shard, ever."""
    cdef uint32_t block, blocks = min(bounds.block_count, (count + BLOCK_ROWS - 1) >> BLOCK_BITS)
    cdef uint8_t *marks = <uint8_t *>bounds.marks
    cdef bint all_of_them = bounds.unmarked[what] != events - bounds.marked
    for block in range(blocks):
        if all_of_them or marks[BOUNDED * block + what]:
            marks[BOUNDED * block + what] = 0
            look_at_block(bounds, what, rows, count, block)
    bounds.unmarked[what] = events - bounds.marked
    return blocks
