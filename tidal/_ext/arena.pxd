"""The records of one shard: a block of 64-byte records that grows in place."""

from libc.stdint cimport uint32_t

from tidal._ext.layout cimport HotRecord

cdef struct Arena:
    HotRecord *rows     # rows[0:count] are live; the address never changes
    uint32_t count
    uint32_t committed  # rows[0:committed] may be touched
    uint32_t reserved   # what the address space has room for

cdef int arena_open(Arena *arena) noexcept nogil
cdef int arena_ensure(Arena *arena, size_t rows) noexcept nogil
cdef void arena_close(Arena *arena) noexcept nogil
