"""The Python class over one shard's state."""

from tidal._ext.decay cimport ShardState

cdef class Shard:
    cdef ShardState *state

    cdef void open_bounds(self) noexcept nogil
    cdef int check_rows(self, Py_ssize_t rows) except -1
