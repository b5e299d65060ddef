"""The Python class over one shard's state."""

from tidal._ext.decay cimport ShardState

cdef class Shard:
    cdef ShardState *state
