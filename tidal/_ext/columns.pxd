"""Kernels over columns of 64-bit words. ``count`` is in words; nothing here checks a length."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef struct Spread:
    # Where the set bits of a column are: of its words, and of its zigzag differences.
    uint64_t value_or
    uint64_t delta_or       # 0 if and only if all words are equal
    uint64_t value_bits     # summed bit lengths over a sample ...
    uint64_t delta_bits
    uint64_t sampled        # ... of this many words

# planes_out[p * count + i] is byte p of word i; bytes from ``width`` up are dropped
cdef void split_words(const uint64_t *words, Py_ssize_t count, int width, uint8_t *planes_out) noexcept nogil
cdef void join_words(const uint8_t *planes, Py_ssize_t count, int width, uint64_t *words_out) noexcept nogil

# the same for zigzag differences; the first word is taken as the base and differs by 0
cdef void split_deltas(const uint64_t *words, Py_ssize_t count, int width, uint8_t *planes_out) noexcept nogil
cdef void join_deltas(
    const uint8_t *planes, Py_ssize_t count, int width, uint64_t base, uint64_t *words_out) noexcept nogil

cdef void measure_words(const uint64_t *words, Py_ssize_t count, Spread *spread_out) noexcept nogil
