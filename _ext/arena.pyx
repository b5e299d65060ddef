"""A block of 64-byte records that grows in place, so that pointers and exported views stay valid."""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from tidal._ext.layout cimport HotRecord, commit, release, reserve

cdef enum:
    ROWS_RESERVED_MAX = 1 << 28  # 16 GiB of address space: a quarter of a billion entities a shard
    ROWS_RESERVED_MIN = 1 << 16  # where the address space is limited (RLIMIT_AS)
    ROWS_STEP_MIN = 1 << 10      # 64 KiB
    ROWS_STEP_HUGE = 1 << 15     # one huge page of 2 MiB


cdef int arena_open(Arena *arena) noexcept nogil:
    """Reserve address space; 0, or -1 where not even the least is to be had."""
    cdef uint32_t rows = ROWS_RESERVED_MAX
    memset(arena, 0, sizeof(Arena))
    while rows >= ROWS_RESERVED_MIN:
        arena.rows = <HotRecord *>reserve(<size_t>rows * sizeof(HotRecord))
        if arena.rows != NULL:
            arena.reserved = rows
            return 0
        rows //= 2
    return -1


cdef int arena_ensure(Arena *arena, size_t rows) noexcept nogil:
    """Make rows[0:rows] usable, with an eighth to spare; 0, or -1 where memory or address space ends."""
    cdef size_t wanted, step
    if rows <= arena.committed:
        return 0
    if rows > arena.reserved:
        return -1
    wanted = rows + rows // 8
    step = ROWS_STEP_MIN if wanted < ROWS_STEP_HUGE else ROWS_STEP_HUGE
    wanted = min((wanted + step - 1) // step * step, <size_t>arena.reserved)
    if commit(arena.rows, wanted * sizeof(HotRecord)):
        return -1
    arena.committed = <uint32_t>wanted
    return 0


cdef void arena_close(Arena *arena) noexcept nogil:
    if arena.rows != NULL:
        release(arena.rows, <size_t>arena.reserved * sizeof(HotRecord))
        arena.rows = NULL
