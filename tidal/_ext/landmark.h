/* Forward decay: the scale 2^((t - L) / h) that an event at t carries, and how a sum is read back.
 *
 * A sum is kept scaled to a landmark L at or before its newest event, so adding an event is one
 * addition of w * 2^((t - L) / h), in any order of arrival ("forward decay": Cormode, Shkapenyuk,
 * Srivastava, Xu, ICDE 2009). Landmarks lie on a grid of TIDAL_CELL_HALF_LIVES half-lives, aligned to
 * the epoch, and a record's landmark is that of its own newest event. So
 *   - no pass over all records is ever needed to move landmarks,
 *   - moving one multiplies by a power of two, which is exact: the bytes of a sum depend on the order of
 *     its events only, never on how they were cut into batches,
 *   - an entity that was idle for ten thousand half-lives still reads exactly at its own time.
 *
 * Times lie in [-2^61, 2^62) and a cell is 2^61 ns at most, so no difference of times and landmarks overflows.
 *
 * The fraction of the exponent is taken in integers; its power of two comes from a table of 64 and a
 * polynomial of degree 5 (the Taylor series of 2^z, |z| <= 1/128: below 4e-17 relative). No libm, no
 * fused operations: every machine and every vector width gives the same bits.
 */
#ifndef TIDAL_LANDMARK_H
#define TIDAL_LANDMARK_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"

enum { TIDAL_CELL_HALF_LIVES = 512 };

typedef struct {
    int64_t half_life; /* ns; 0: no decay */
    int64_t cell;      /* ns between landmarks; 0: one landmark, the epoch, serves all of time */
    double inverse;    /* 1 / half_life */
} tidal_decay;

static inline tidal_decay tidal_decay_of(int64_t half_life) {
    tidal_decay d = {half_life, 0, half_life ? 1.0 / (double)half_life : 0.0};
    if (half_life && half_life <= (INT64_MAX / 4) / TIDAL_CELL_HALF_LIVES) d.cell = half_life * TIDAL_CELL_HALF_LIVES;
    return d;
}

/* The landmark of time t: the last grid point at or before it. */
static inline int64_t tidal_landmark(const tidal_decay *d, int64_t t) {
    if (!d->cell) return 0;
    int64_t inside = t % d->cell;
    return t - inside - (inside < 0 ? d->cell : 0);
}

/* 2^(i/64), i = 0..64 */
static const double tidal_exp2_table[65] = {
    0x1.0000000000000p+0, 0x1.02c9a3e778061p+0, 0x1.059b0d3158574p+0, 0x1.0874518759bc8p+0, 0x1.0b5586cf9890fp+0,
    0x1.0e3ec32d3d1a2p+0, 0x1.11301d0125b51p+0, 0x1.1429aaea92de0p+0, 0x1.172b83c7d517bp+0, 0x1.1a35beb6fcb75p+0,
    0x1.1d4873168b9aap+0, 0x1.2063b88628cd6p+0, 0x1.2387a6e756238p+0, 0x1.26b4565e27cddp+0, 0x1.29e9df51fdee1p+0,
    0x1.2d285a6e4030bp+0, 0x1.306fe0a31b715p+0, 0x1.33c08b26416ffp+0, 0x1.371a7373aa9cbp+0, 0x1.3a7db34e59ff7p+0,
    0x1.3dea64c123422p+0, 0x1.4160a21f72e2ap+0, 0x1.44e086061892dp+0, 0x1.486a2b5c13cd0p+0, 0x1.4bfdad5362a27p+0,
    0x1.4f9b2769d2ca7p+0, 0x1.5342b569d4f82p+0, 0x1.56f4736b527dap+0, 0x1.5ab07dd485429p+0, 0x1.5e76f15ad2148p+0,
    0x1.6247eb03a5585p+0, 0x1.6623882552225p+0, 0x1.6a09e667f3bcdp+0, 0x1.6dfb23c651a2fp+0, 0x1.71f75e8ec5f74p+0,
    0x1.75feb564267c9p+0, 0x1.7a11473eb0187p+0, 0x1.7e2f336cf4e62p+0, 0x1.82589994cce13p+0, 0x1.868d99b4492edp+0,
    0x1.8ace5422aa0dbp+0, 0x1.8f1ae99157736p+0, 0x1.93737b0cdc5e5p+0, 0x1.97d829fde4e50p+0, 0x1.9c49182a3f090p+0,
    0x1.a0c667b5de565p+0, 0x1.a5503b23e255dp+0, 0x1.a9e6b5579fdbfp+0, 0x1.ae89f995ad3adp+0, 0x1.b33a2b84f15fbp+0,
    0x1.b7f76f2fb5e47p+0, 0x1.bcc1e904bc1d2p+0, 0x1.c199bdd85529cp+0, 0x1.c67f12e57d14bp+0, 0x1.cb720dcef9069p+0,
    0x1.d072d4a07897cp+0, 0x1.d5818dcfba487p+0, 0x1.da9e603db3285p+0, 0x1.dfc97337b9b5fp+0, 0x1.e502ee78b3ff6p+0,
    0x1.ea4afa2a490dap+0, 0x1.efa1bee615a27p+0, 0x1.f50765b6e4540p+0, 0x1.fa7c1819e90d8p+0, 0x1.0000000000000p+1,
};

/* int64 <-> double by the bits of the mantissa: AVX2 has no instruction for either, so a cast would keep the
 * compiler from vectorising. Both are what the cast gives, but that the second rounds to nearest. */
static inline double tidal_to_double(int64_t x) {
    uint64_t biased = (uint64_t)x ^ 0x8000000000000000u;
    uint64_t high_bits = (biased >> 32) | 0x4330000000000000u, low_bits = (biased & 0xffffffffu) | 0x4330000000000000u;
    double high, low;
    memcpy(&high, &high_bits, sizeof high);
    memcpy(&low, &low_bits, sizeof low);
    return (high - (0x1p52 + 0x1p31)) * 0x1p32 + (low - 0x1p52);
}

static inline int64_t tidal_round(double x) { /* |x| < 2^51 */
    double shifted = x + 0x1.8p52;
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4338000000000000;
}

/* Where an age lies: in which whole half-life, and next to which 64th of it. Both rise with the age. */
static inline int64_t tidal_place(int64_t age, int64_t half_life, double inverse, int64_t *whole_out) {
    int64_t whole = tidal_round(tidal_to_double(age) * inverse);
    int64_t rest = age - whole * half_life;
    int64_t low = -(int64_t)(rest < 0), high = -(int64_t)(rest >= half_life); /* all ones where true */
    whole += low - high;
    rest += (low & half_life) - (high & half_life);
    *whole_out = whole;
    return tidal_round(tidal_to_double(rest) * inverse * 64.0);
}

/* 2^(rest / h) for a rest next to the i-th 64th of a half-life; in [1, 2]. */
static inline double tidal_mantissa(int64_t rest, int64_t i, double inverse) {
    double z = tidal_to_double(rest) * inverse - tidal_to_double(i) * 0x1p-6;
    double p = z * (0x1.62e42fefa39efp-1 + z * (0x1.ebfbdff82c58fp-3 + z * (0x1.c6b08d704a0c0p-5
             + z * (0x1.3b2ab6fba4e77p-7 + z * 0x1.5d87fe78a6731p-10))));
    double entry = tidal_exp2_table[i];
    return entry + entry * p;
}

/* Split 2^(age / h) into mantissa in [1, 2] and exponent: value = mantissa * 2^exponent. */
static inline double tidal_scale_parts(int64_t age, int64_t half_life, double inverse, int64_t *exponent) {
    int64_t i = tidal_place(age, half_life, inverse, exponent);
    return tidal_mantissa(age - *exponent * half_life, i, inverse);
}

/* 2^e for -1022 <= e <= 1023 */
static inline double tidal_power_of_two(int64_t e) {
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value * 2^e for any e, exact until it underflows */
static inline double tidal_shift(double value, int64_t e) {
    return e >= -1022 && e <= 1023 ? value * tidal_power_of_two(e)
                                   : ldexp(value, e > 4096 ? 4096 : e < -4096 ? -4096 : (int)e);
}

/* What an event at t, in the cell of landmark, adds to a sum scaled to that landmark. */
static inline double tidal_add_term(const tidal_decay *d, float weight, int64_t t, int64_t landmark) {
    int64_t e;
    if (!d->half_life) return (double)weight;
    double mantissa = tidal_scale_parts(t - landmark, d->half_life, d->inverse, &e);
    return (double)weight * (mantissa * tidal_power_of_two(e));
}

/* The decayed value at time t of a sum scaled to landmark; division, so that it undoes the scaling exactly
 * where nothing was lost: one event of weight 1 reads 1.0 at its own time and 0.5 a half-life later. */
static inline double tidal_read_sum(const tidal_decay *d, double sum, int64_t t, int64_t landmark) {
    int64_t e;
    if (!d->half_life) return sum;
    double mantissa = tidal_scale_parts(t - landmark, d->half_life, d->inverse, &e);
    return tidal_shift(sum / mantissa, -e);
}

/* How to read many sums at one time: what tidal_read_sum computes, worked out once for all records whose newest
 * event lies in [low, high). */
typedef struct {
    int64_t low, high;
    double mantissa, scale;
} tidal_reader;

/* The reader at time t for the cell in which `anchor` lies, not after t. */
static inline tidal_reader tidal_reader_of(const tidal_decay *d, int64_t t, int64_t anchor) {
    tidal_reader reader = {INT64_MIN, INT64_MAX, 1.0, 1.0};
    if (!d->half_life) return reader;
    int64_t e, landmark = tidal_landmark(d, anchor);
    reader.mantissa = tidal_scale_parts(t - landmark, d->half_life, d->inverse, &e);
    if (d->cell) reader.low = landmark, reader.high = landmark + d->cell;
    if (reader.high > t) reader.high = t + 1; /* a newer event is read at its own time */
    if (e < -1022 || e > 1022) reader.low = reader.high = 0;
    else reader.scale = tidal_power_of_two(-e);
    return reader;
}

/* A sum that was scaled to landmark `from`, scaled to landmark `to`. */
static inline double tidal_move_sum(const tidal_decay *d, double sum, int64_t from, int64_t to) {
    return d->cell && from != to ? tidal_shift(sum, (from - to) / d->half_life) : sum;
}

/* tidal_add_term for a column of events between `earliest` and `latest` that share one cell. */
TIDAL_VECTOR_CLONES
static void tidal_add_terms(const tidal_decay *d, const float *restrict weight, const int64_t *restrict t,
                            int64_t count, int64_t landmark, int64_t earliest, int64_t latest,
                            double *restrict terms_out) {
    const int64_t half_life = d->half_life;
    const double inverse = d->inverse;
    int64_t e, e_latest;
    if (!half_life) {
        for (int64_t i = 0; i < count; i++) terms_out[i] = (double)weight[i];
        return;
    }
    const int64_t place = tidal_place(earliest - landmark, half_life, inverse, &e);
    if (tidal_place(latest - landmark, half_life, inverse, &e_latest) == place && e == e_latest) {
        /* All between lie there too, so that only the last steps differ: the same ones, with the same bits. */
        const int64_t base = landmark + e * half_life;
        const double power = tidal_power_of_two(e);
        for (int64_t i = 0; i < count; i++)
            terms_out[i] = (double)weight[i] * (tidal_mantissa(t[i] - base, place, inverse) * power);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        double mantissa = tidal_scale_parts(t[i] - landmark, half_life, inverse, &e);
        terms_out[i] = (double)weight[i] * (mantissa * tidal_power_of_two(e));
    }
}

#endif
