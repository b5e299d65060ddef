"""Growth of the index: entity id -> slot. Look-ups are inline in the pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from tidal._ext.layout cimport acquire, commit, release, reserve, unlock

cdef enum:
    BITS_MIN = 10
    BITS_MAX = 31


cdef uint64_t *allocate_cells(uint32_t bits) noexcept nogil:
    cdef size_t size = <size_t>sizeof(uint64_t) << bits
    cdef void *block = reserve(size)
    if block != NULL and commit(block, size):
        release(block, size)
        return NULL
    return <uint64_t *>block


cdef int index_open(Index *index) noexcept nogil:
    memset(index, 0, sizeof(Index))
    index.bits = BITS_MIN
    index.cells = allocate_cells(BITS_MIN)
    return 0 if index.cells != NULL else -1


cdef int index_ensure(Index *index, uint64_t entries, Lock *readers) noexcept nogil:
    """Make room for this many entries at a load of 5/8 or less; 0, or -1 without memory and unchanged.

    Who looks something up meanwhile holds ``readers``, and waits no longer than the exchange takes.
    """
    cdef Index larger, smaller = index[0]
    cdef uint64_t i, cell
    cdef uint32_t bits = index.bits
    while (<uint64_t>5 << bits) < entries * 8:
        bits += 1
    if bits == index.bits:
        return 0
    if bits > BITS_MAX:
        return -1
    larger.bits = bits
    larger.used = 0
    larger.cells = allocate_cells(bits)
    if larger.cells == NULL:
        return -1
    # Homes are monotone in the tag, and cells lie near their homes: both arrays are walked nearly in order.
    for i in range(<uint64_t>1 << index.bits):
        cell = index.cells[i]
        if cell != 0:
            index_insert(&larger, <uint32_t>(cell >> 32), <uint32_t>cell - 1)
    acquire(readers)
    index[0] = larger
    unlock(readers)
    index_close(&smaller)
    return 0


cdef void index_close(Index *index) noexcept nogil:
    if index.cells != NULL:
        release(index.cells, <size_t>sizeof(uint64_t) << index.bits)
        index.cells = NULL
