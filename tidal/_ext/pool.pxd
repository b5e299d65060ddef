"""Chunks of memory of one size, for what is filled and emptied again and again."""

# What every chunk begins with, while it is free or in a chain.
cdef struct Link:
    Link *next

cdef struct Pool:
    size_t chunk_bytes
    Link *spare
    char *unused        # of the last slab, up to `end`
    char *end
    Link *slabs

cdef void pool_open(Pool *pool, size_t chunk_bytes) noexcept nogil
cdef void *pool_take(Pool *pool) noexcept nogil
cdef void pool_give_back(Pool *pool, Link *first, Link *last) noexcept nogil
cdef void pool_close(Pool *pool) noexcept nogil
