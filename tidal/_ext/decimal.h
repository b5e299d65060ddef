/* Numbers as text: integers, and floats in the fewest digits that read back as the same bits.
 *
 * The digits of a float are found as in "The Schubfach way to render doubles" (R. Giulietti, 2021): among
 * the decimals with the fewest digits inside the interval that rounds to the float, the one closest to it.
 * All is done in integers, with powers of ten of 128 bits (64 for float32) that are rounded up. Those are
 * computed by the module that uses this, in exact arithmetic, so there is no table to mistype.
 *
 * The layout is that of Python's repr(): 1.0, 0.0001, 1e-05, 1.5e+16.
 */
#ifndef TIDAL_DECIMAL_H
#define TIDAL_DECIMAL_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    TIDAL_POWER64_MIN = -324, TIDAL_POWER64_MAX = 324,   /* of ten: more than float64 needs */
    TIDAL_POWER32_MIN = -46, TIDAL_POWER32_MAX = 46,
    TIDAL_INTEGER_CHARS = 20,
    TIDAL_FLOAT_CHARS = 24,                              /* -1.2345678901234567e-308 */
    TIDAL_DIGITS_MAX = 17,
};

typedef struct {
    uint64_t high, low;
} tidal_power64;

/* digits * 10^exponent */
typedef struct {
    uint64_t digits;
    int exponent;
} tidal_decimal;

static const char tidal_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
    "5556575859606162636465666768697071727374757677787980818283848586878889909192939495969798"
    "99";

static inline int tidal_digit_count(uint64_t value) {
    static const uint64_t powers[20] = {
        0ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
        10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
        1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
        10000000000000000000ULL,
    };
    int guess = ((64 - __builtin_clzll(value | 1)) * 1233) >> 12; /* log10(2) is 1233/4096 */
    return guess + (value >= powers[guess]);
}

/* Writes exactly count digits, with zeros before the value. */
static inline char *tidal_put_digits(char *out, uint64_t value, int count) {
    char *at = out + count;
    while (at - out >= 2) {
        uint64_t rest = value / 100;
        at -= 2;
        memcpy(at, tidal_pairs + 2 * (value - rest * 100), 2);
        value = rest;
    }
    if (at > out) *--at = (char)('0' + value % 10);
    return out + count;
}

/* The eight digits of a value below 10^8, the first in the lowest byte, as numbers from 0 to 9. All are divided at
 * a time, in lanes: by multiplying with 2^20/100 and 2^10/10, rounded up, exact for what a lane holds. */
static inline uint64_t tidal_eight_digits(uint32_t value) {
    uint64_t fours = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007fULL;
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = (twos * 103 >> 10) & 0x000f000f000f000fULL;
    return tens | (twos - 10 * tens) << 8;
}

/* Writes eight digits without the first ``skipped``; eight bytes are touched whatever is skipped. */
static inline char *tidal_put_eight(char *out, uint64_t digits, int skipped) {
    uint64_t text = (digits + 0x3030303030303030ULL) >> 8 * skipped;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    text = __builtin_bswap64(text);
#endif
    memcpy(out, &text, 8);
    return out + 8 - skipped;
}

/* Below 10^8, without zeros before it. */
static inline char *tidal_put_first(char *out, uint32_t value) {
    uint64_t digits = tidal_eight_digits(value);
    return tidal_put_eight(out, digits, __builtin_ctzll(digits | 1ULL << 56) >> 3); /* 0 has one digit */
}

/* Sixteen digits, with zeros before a value below 10^15. */
#if defined(__SSE2__)
/* As tidal_eight_digits, two by two: by multiplying with 2^45/10^4, 2^19/100 and 2^16/10, rounded up, which is exact
 * for what the lanes hold. */
static inline char *tidal_put_sixteen(char *out, uint64_t value) {
    uint64_t high = value / 100000000;
    __m128i eights = _mm_set_epi64x((int64_t)(value - high * 100000000), (int64_t)high);
    __m128i upper = _mm_srli_epi64(_mm_mul_epu32(eights, _mm_set1_epi64x(3518437209)), 45);
    __m128i lower = _mm_sub_epi64(eights, _mm_mul_epu32(upper, _mm_set1_epi64x(10000)));
    __m128i fours = _mm_or_si128(upper, _mm_slli_epi64(lower, 32));
    __m128i hundreds = _mm_srli_epi16(_mm_mulhi_epu16(fours, _mm_set1_epi16(5243)), 3);
    __m128i below = _mm_sub_epi16(fours, _mm_mullo_epi16(hundreds, _mm_set1_epi16(100)));
    __m128i twos = _mm_or_si128(hundreds, _mm_slli_epi32(below, 16));
    __m128i tens = _mm_mulhi_epu16(twos, _mm_set1_epi16(6554));
    __m128i ones = _mm_sub_epi16(twos, _mm_mullo_epi16(tens, _mm_set1_epi16(10)));
    __m128i digits = _mm_or_si128(tens, _mm_slli_epi16(ones, 8));
    _mm_storeu_si128((__m128i *)out, _mm_add_epi8(digits, _mm_set1_epi8('0')));
    return out + 16;
}
#else
static inline char *tidal_put_sixteen(char *out, uint64_t value) {
    uint64_t high = value / 100000000;
    out = tidal_put_eight(out, tidal_eight_digits((uint32_t)high), 0);
    return tidal_put_eight(out, tidal_eight_digits((uint32_t)(value - high * 100000000)), 0);
}
#endif

/* Touches up to seven bytes behind what it writes. */
static inline char *tidal_put_u64(char *out, uint64_t value) {
    const uint64_t unit = 100000000;
    if (value < 10) {
        *out = (char)('0' + value);
        return out + 1;
    }
    if (value < unit) return tidal_put_first(out, (uint32_t)value);
    if (value < unit * unit) {
        uint64_t high = value / unit;
        out = tidal_put_first(out, (uint32_t)high);
        return tidal_put_eight(out, tidal_eight_digits((uint32_t)(value - high * unit)), 0);
    }
    uint64_t highest = value / (unit * unit);
    out = tidal_put_first(out, (uint32_t)highest);
    return tidal_put_sixteen(out, value - highest * (unit * unit));
}

static inline char *tidal_put_i64(char *out, int64_t value) {
    if (value >= 0) return tidal_put_u64(out, (uint64_t)value);
    *out = '-';
    return tidal_put_u64(out + 1, 0 - (uint64_t)value);
}

static inline int tidal_floor_log2_pow10(int exponent) {
    return (exponent * 1741647) >> 19;
}

/* floor(log10(2^exponent)), or of three quarters of it, where the gap below a power of two is half as wide */
static inline int tidal_floor_log10_pow2(int exponent, int is_power) {
    return (exponent * 1262611 - (is_power ? 524031 : 0)) >> 22;
}

/* (power * value) >> 128; the last bit also says whether anything was cut off. */
static inline uint64_t tidal_scaled64(tidal_power64 power, uint64_t value) {
    unsigned __int128 low = (unsigned __int128)power.low * value;
    unsigned __int128 high = (unsigned __int128)power.high * value + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The same by 2^64; the value has 32 bits. */
static inline uint64_t tidal_scaled32(uint64_t power, uint64_t value) {
    unsigned __int128 product = (unsigned __int128)power * value;
    return (uint64_t)(product >> 64) | ((uint64_t)product >> 32 > 1);
}

/* From four times the value, and four times the ends of its interval, all scaled by a power of ten. */
static inline tidal_decimal tidal_choose(uint64_t below, uint64_t value, uint64_t above, int is_odd, int exponent) {
    uint64_t lower = below + is_odd, upper = above - is_odd, whole = value / 4;
    if (whole >= 10) { /* a digit less? */
        uint64_t tens = whole / 10;
        int down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up) return (tidal_decimal){tens + up, exponent + 1};
    }
    int down = lower <= 4 * whole, up = 4 * whole + 4 <= upper;
    if (down != up) return (tidal_decimal){whole + up, exponent};
    uint64_t middle = 4 * whole + 2;
    return (tidal_decimal){whole + (value > middle || (value == middle && (whole & 1))), exponent};
}

/* Of a finite float that is not 0, without its sign. powers: from 10^TIDAL_POWER64_MIN. */
static inline tidal_decimal tidal_shortest64(uint64_t bits, const tidal_power64 *powers) {
    uint64_t fraction = bits & ((1ULL << 52) - 1);
    int stored = (int)(bits >> 52 & 2047);
    uint64_t significand = stored ? fraction | 1ULL << 52 : fraction;
    int exponent = (stored ? stored : 1) - 1075;
    int is_power = fraction == 0 && stored > 1;
    int k = tidal_floor_log10_pow2(exponent, is_power);
    int shift = exponent + tidal_floor_log2_pow10(-k) + 1;
    tidal_power64 power = powers[-k - TIDAL_POWER64_MIN];
    uint64_t four = 4 * significand;
    return tidal_choose(tidal_scaled64(power, (four - 2 + is_power) << shift), tidal_scaled64(power, four << shift),
                        tidal_scaled64(power, (four + 2) << shift), (int)(significand & 1), k);
}

static inline tidal_decimal tidal_shortest32(uint32_t bits, const uint64_t *powers) {
    uint32_t fraction = bits & ((1U << 23) - 1);
    int stored = (int)(bits >> 23 & 255);
    uint64_t significand = stored ? fraction | 1U << 23 : fraction;
    int exponent = (stored ? stored : 1) - 150;
    int is_power = fraction == 0 && stored > 1;
    int k = tidal_floor_log10_pow2(exponent, is_power);
    int shift = exponent + tidal_floor_log2_pow10(-k) + 1;
    uint64_t power = powers[-k - TIDAL_POWER32_MIN];
    uint64_t four = 4 * significand;
    return tidal_choose(tidal_scaled32(power, (four - 2 + is_power) << shift), tidal_scaled32(power, four << shift),
                        tidal_scaled32(power, (four + 2) << shift), (int)(significand & 1), k);
}

static inline char *tidal_put_decimal(char *out, tidal_decimal it) {
    char digits[TIDAL_INTEGER_CHARS];
    while (it.digits % 10 == 0) {
        it.digits /= 10;
        it.exponent++;
    }
    int count = tidal_digit_count(it.digits), point = count + it.exponent;
    if (0 < point && point <= 16) {
        if (it.exponent >= 0) {
            out = tidal_put_digits(out, it.digits, count);
            memset(out, '0', it.exponent);
            memcpy(out + it.exponent, ".0", 2);
            return out + it.exponent + 2;
        }
        tidal_put_digits(digits, it.digits, count);
        memcpy(out, digits, point);
        out[point] = '.';
        memcpy(out + point + 1, digits + point, count - point);
        return out + count + 1;
    }
    if (-4 < point && point <= 0) {
        memcpy(out, "0.000", 5);
        return tidal_put_digits(out + 2 - point, it.digits, count);
    }
    tidal_put_digits(digits, it.digits, count);
    *out++ = digits[0];
    if (count > 1) {
        *out++ = '.';
        memcpy(out, digits + 1, count - 1);
        out += count - 1;
    }
    int power = point - 1;
    *out++ = 'e';
    *out++ = power < 0 ? '-' : '+';
    if (power < 0) power = -power;
    return tidal_put_digits(out, (uint64_t)power, power < 100 ? 2 : 3);
}

static inline char *tidal_put_f64(char *out, double value, const tidal_power64 *powers) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    if (bits >> 63) *out++ = '-';
    bits &= ~(1ULL << 63);
    if (bits == 0) {
        memcpy(out, "0.0", 3);
        return out + 3;
    }
    if (value < 0) value = -value;
    if (value < 9007199254740992.0 && value == (double)(uint64_t)value) { /* whole: its digits are known */
        out = tidal_put_u64(out, (uint64_t)value);
        memcpy(out, ".0", 2);
        return out + 2;
    }
    return tidal_put_decimal(out, tidal_shortest64(bits, powers));
}

static inline char *tidal_put_f32(char *out, float value, const uint64_t *powers) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (bits >> 31) *out++ = '-';
    bits &= ~(1U << 31);
    if (bits == 0) {
        memcpy(out, "0.0", 3);
        return out + 3;
    }
    if (value < 0) value = -value;
    if (value < 16777216.0f && value == (float)(uint32_t)value) {
        out = tidal_put_u64(out, (uint32_t)value);
        memcpy(out, ".0", 2);
        return out + 2;
    }
    return tidal_put_decimal(out, tidal_shortest32(bits, powers));
}

#endif
