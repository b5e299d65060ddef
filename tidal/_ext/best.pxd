"""The k best of many candidates: a bounded heap."""

from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

cdef struct Candidate:
    double value
    uint64_t entity_id

cdef struct Best:
    Candidate *heap     # the worst of the best is at the root
    Py_ssize_t size
    Py_ssize_t room

cdef int open_best(Best *best, Py_ssize_t k, Py_ssize_t candidates) except -1
cdef close_best(Best *best)
cdef void sift_down(Best *best, Py_ssize_t at) noexcept nogil
cdef void replace_worst(Best *best, const Candidate *new) noexcept nogil


cdef inline bint worse(const Candidate *a, const Candidate *b) noexcept nogil:
    """Whether a ranks behind b: by value, and the smaller id first where values are equal."""
    return a.value < b.value or (a.value == b.value and a.entity_id > b.entity_id)


# Nearly every candidate of a long scan fails the one comparison here.
cdef inline void offer(Best *best, uint64_t entity_id, double value) noexcept nogil:
    cdef Candidate new
    new.value, new.entity_id = value, entity_id
    if best.size < best.room or (best.room and worse(&best.heap[0], &new)):
        replace_worst(best, &new)


cdef inline double worst_value(const Best *best) noexcept nogil:
    """What a candidate must reach, once there is no more room."""
    return best.heap[0].value if best.room else INFINITY
