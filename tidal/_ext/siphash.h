/* SipHash-2-4 with 128 bits of output: a keyed hash, so that nobody without the key can make two events collide.
 *
 * J.-P. Aumasson, D. J. Bernstein: "SipHash: a fast short-input PRF", INDOCRYPT 2012; the 128-bit variant is that
 * of their reference implementation. Messages are fed as words, so the result does not depend on byte order.
 */
#ifndef TIDAL_SIPHASH_H
#define TIDAL_SIPHASH_H

#include <stdint.h>

typedef struct {
    uint64_t v0, v1, v2, v3;
} tidal_siphash;

static inline uint64_t tidal_rotate_left(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline void tidal_siphash_rounds(tidal_siphash *s, int rounds) {
    for (int i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = tidal_rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = tidal_rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = tidal_rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = tidal_rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = tidal_rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = tidal_rotate_left(s->v2, 32);
    }
}

/* The state before the first word; the constants spell "somepseudorandomlygeneratedbytes". */
static inline tidal_siphash tidal_siphash_begin(uint64_t key0, uint64_t key1) {
    tidal_siphash s = {
        key0 ^ 0x736f6d6570736575u,
        key1 ^ 0x646f72616e646f6du ^ 0xee,
        key0 ^ 0x6c7967656e657261u,
        key1 ^ 0x7465646279746573u,
    };
    return s;
}

static inline void tidal_siphash_word(tidal_siphash *s, uint64_t word) {
    s->v3 ^= word;
    tidal_siphash_rounds(s, 2);
    s->v0 ^= word;
}

/* last: the bytes that make no whole word, and the message's length in bytes (mod 256) as the highest byte. */
static inline void tidal_siphash_end(tidal_siphash *s, uint64_t last, uint64_t *low, uint64_t *high) {
    tidal_siphash_word(s, last);
    s->v2 ^= 0xee;
    tidal_siphash_rounds(s, 4);
    *low = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
    s->v1 ^= 0xdd;
    tidal_siphash_rounds(s, 4);
    *high = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
