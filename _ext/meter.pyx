# cython: boundscheck=True
"""A meter: how many observations there were, their sum, and how they spread over powers of two."""

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef enum:
    BUCKETS = 64


cdef int64_t monotonic() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


cdef class Meter:
    """Counts observations of whole numbers, 0 and above; what is below counts as 0.

    Every call is one step under the interpreter's lock, so threads share a meter without a lock of its own,
    and Ctrl-C finds it whole.
    """

    cdef int64_t buckets[BUCKETS]
    cdef int64_t total

    def __cinit__(self):
        cdef int i
        for i in range(BUCKETS):
            self.buckets[i] = 0
        self.total = 0

    def observe(self, int64_t value):
        """Count one observation. A sum that int64 cannot hold wraps around."""
        self.note(value)

    cdef void note(self, int64_t value) noexcept:
        cdef uint64_t rest
        cdef int place = 0
        if value < 0:
            value = 0
        if value > 1:
            rest = <uint64_t>value - 1
            while rest:
                rest >>= 1
                place += 1
        self.buckets[place] += 1
        self.total = <int64_t>(<uint64_t>self.total + <uint64_t>value)

    def read(self):
        """Return the sum, and the observations of each bucket: those above 2**(i-1), up to 2**i."""
        cdef int i
        return self.total, tuple([self.buckets[i] for i in range(BUCKETS)])

    @property
    def count(self):
        """How many observations there were."""
        cdef int i
        cdef int64_t found = 0
        for i in range(BUCKETS):
            found += self.buckets[i]
        return found


cdef class Timed:
    """A callable that does what ``call`` does, and notes in a meter how many ns it took; not if it raised."""

    cdef readonly object __wrapped__
    cdef Meter meter

    def __cinit__(self, call, Meter meter not None):
        self.__wrapped__, self.meter = call, meter

    def __call__(self, *args, **options):
        cdef int64_t began = monotonic()
        cdef object found = self.__wrapped__(*args, **options)
        self.meter.note(monotonic() - began)
        return found
