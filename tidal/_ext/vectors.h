/* Loops over columns that become vectors.
 *
 * The compiler makes a clone of each for every vector width, and the loader picks the one that the processor can run.
 * What every x86-64 has (SSE2) cannot compare integers of 8 bytes, nor find the larger of two unsigned ones of 4.
 */
#ifndef TIDAL_VECTORS_H
#define TIDAL_VECTORS_H

#include <stdint.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define TIDAL_VECTOR_CLONES __attribute__((target_clones("default", "avx2", "avx512f"), unused))
#else
#define TIDAL_VECTOR_CLONES __attribute__((unused))
#endif

/* The first and the last of some times, of which there is one at least. */
TIDAL_VECTOR_CLONES
static void tidal_time_range(const int64_t *t, int64_t count, int64_t *earliest_out, int64_t *latest_out) {
    int64_t earliest = t[0], latest = t[0];
    for (int64_t i = 1; i < count; i++) {
        earliest = t[i] < earliest ? t[i] : earliest;
        latest = t[i] > latest ? t[i] : latest;
    }
    *earliest_out = earliest;
    *latest_out = latest;
}

/* Whether no time is before the one that it follows. */
TIDAL_VECTOR_CLONES
static int tidal_in_order(const int64_t *t, int64_t count) {
    int64_t back = 0;
    for (int64_t i = 1; i < count; i++) back |= t[i] < t[i - 1];
    return !back;
}

TIDAL_VECTOR_CLONES
static uint32_t tidal_largest(const uint32_t *numbers, int64_t count) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < count; i++) largest = numbers[i] > largest ? numbers[i] : largest;
    return largest;
}

/* Numbers of up to 4 bytes from their byte planes, lowest first, each `stride` bytes after the one before it. */
TIDAL_VECTOR_CLONES
static void tidal_join_planes(const uint8_t *restrict planes, int64_t stride, int width, int64_t count,
                              uint32_t *restrict numbers_out) {
    if (width == 1) {
        for (int64_t i = 0; i < count; i++) numbers_out[i] = planes[i];
        return;
    }
    const uint8_t *second = planes + stride;
    if (width == 2) {
        for (int64_t i = 0; i < count; i++) numbers_out[i] = planes[i] | (uint32_t)second[i] << 8;
        return;
    }
    const uint8_t *third = second + stride;
    if (width == 3) {
        for (int64_t i = 0; i < count; i++)
            numbers_out[i] = planes[i] | (uint32_t)second[i] << 8 | (uint32_t)third[i] << 16;
        return;
    }
    const uint8_t *fourth = third + stride;
    for (int64_t i = 0; i < count; i++)
        numbers_out[i] =
            planes[i] | (uint32_t)second[i] << 8 | (uint32_t)third[i] << 16 | (uint32_t)fourth[i] << 24;
}

/* Whether all of some values, one at least, are the same. */
TIDAL_VECTOR_CLONES
static int tidal_are_equal(const uint8_t *values, int64_t count) {
    uint8_t other = 0;
    for (int64_t i = 1; i < count; i++) other |= values[i] ^ values[0];
    return !other;
}

/* 0, 1, 2, 3 become 0.0, -1.0, 1.0, -2.0. */
TIDAL_VECTOR_CLONES
static void tidal_weights_of_codes(const uint8_t *restrict codes, int64_t count, float *restrict weights_out) {
    for (int64_t i = 0; i < count; i++) weights_out[i] = (float)((codes[i] >> 1) ^ -(codes[i] & 1));
}

/* In place: 0, 1, 2, 3 become 0, -1, 1, -2. */
TIDAL_VECTOR_CLONES
static void tidal_unzigzag(uint32_t *codes, int64_t count) {
    for (int64_t i = 0; i < count; i++) codes[i] = (codes[i] >> 1) ^ (0 - (codes[i] & 1));
}

/* The running sums of some differences from a base; return the last. By fours, so that only one addition in four
 * waits for the one before it (measured: 0.3 instead of 0.6 ns a word). */
TIDAL_VECTOR_CLONES
static uint64_t tidal_sum_deltas(const int32_t *restrict deltas, int64_t count, uint64_t base,
                                 uint64_t *restrict sums_out) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        int64_t one = deltas[i], two = one + deltas[i + 1], three = two + deltas[i + 2], four = three + deltas[i + 3];
        sums_out[i] = base + (uint64_t)one;
        sums_out[i + 1] = base + (uint64_t)two;
        sums_out[i + 2] = base + (uint64_t)three;
        base += (uint64_t)four;
        sums_out[i + 3] = base;
    }
    for (; i < count; i++) {
        base += (uint64_t)(int64_t)deltas[i];
        sums_out[i] = base;
    }
    return base;
}

#endif
