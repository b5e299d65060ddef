"""Loops over columns that become vectors; the header documents them."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "vectors.h" nogil:
    void time_range "tidal_time_range"(
        const int64_t *t, int64_t count, int64_t *earliest_out, int64_t *latest_out)
    bint in_order "tidal_in_order"(const int64_t *t, int64_t count)
    bint are_equal "tidal_are_equal"(const uint8_t *values, int64_t count)
    void weights_of_codes "tidal_weights_of_codes"(const uint8_t *codes, int64_t count, float *weights_out)
    uint32_t largest_of "tidal_largest"(const uint32_t *numbers, int64_t count)
    void join_planes "tidal_join_planes"(
        const uint8_t *planes, int64_t stride, int width, int64_t count, uint32_t *numbers_out)
    void unzigzag "tidal_unzigzag"(uint32_t *codes, int64_t count)
    uint64_t sum_deltas "tidal_sum_deltas"(
        const int32_t *deltas, int64_t count, uint64_t base, uint64_t *sums_out)
