"""The k best of many candidates: a heap with the worst of the best at its root."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

import numpy as np


cdef void sift_down(Best *best, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t child
    cdef Candidate moved = best.heap[at]
    while True:
        child = 2 * at + 1
        if child >= best.size:
            break
        if child + 1 < best.size and worse(&best.heap[child + 1], &best.heap[child]):
            child += 1
        if not worse(&best.heap[child], &moved):
            break
        best.heap[at] = best.heap[child]
        at = child
    best.heap[at] = moved


cdef void replace_worst(Best *best, const Candidate *new) noexcept nogil:
    """Take a candidate in: in place of the worst one if there is no more room."""
    cdef Py_ssize_t at, parent
    if best.size == best.room:
        best.heap[0] = new[0]
        sift_down(best, 0)
        return
    at = best.size
    best.size += 1
    while at > 0:
        parent = (at - 1) // 2
        if not worse(new, &best.heap[parent]):
            break
        best.heap[at] = best.heap[parent]
        at = parent
    best.heap[at] = new[0]


cdef int open_best(Best *best, Py_ssize_t k, Py_ssize_t candidates) except -1:
    if k < 0:
        raise ValueError(f"k is {k}; it must not be negative")
    best.room, best.size = min(k, candidates), 0
    best.heap = <Candidate *>calloc(best.room + 1, sizeof(Candidate))
    if best.heap == NULL:
        raise MemoryError(f"no memory for the best {k}")
    return 0


cdef close_best(Best *best):
    """Free the heap and return its ids and values, best first."""
    cdef Py_ssize_t size = best.size
    ids, values = np.empty(size, np.uint64), np.empty(size, np.float64)
    cdef uint64_t[::1] ids_out = ids
    cdef double[::1] values_out = values
    while best.size:
        ids_out[best.size - 1], values_out[best.size - 1] = best.heap[0].entity_id, best.heap[0].value
        best.size -= 1
        best.heap[0] = best.heap[best.size]
        if best.size:
            sift_down(best, 0)
    free(best.heap)
    return ids, values
