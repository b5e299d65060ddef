/* Writes that go past the cache: whole lines that are not read again soon.
 *
 * A line that is written by and by is fetched first, and pushes out of the cache what is needed sooner. Where many
 * places are written in turns, most of the time goes into that.
 */
#ifndef TIDAL_STREAM_H
#define TIDAL_STREAM_H

#include <string.h>

enum { TIDAL_LINE = 64 };

#if defined(__SSE2__)
#include <emmintrin.h>

/* Copy a line; both addresses are multiples of TIDAL_LINE. */
static inline void tidal_stream_line(void *to, const void *from) {
    const __m128i *source = (const __m128i *)from;
    __m128i *target = (__m128i *)to;
    _mm_stream_si128(target, _mm_load_si128(source));
    _mm_stream_si128(target + 1, _mm_load_si128(source + 1));
    _mm_stream_si128(target + 2, _mm_load_si128(source + 2));
    _mm_stream_si128(target + 3, _mm_load_si128(source + 3));
}

/* Let other threads see what was streamed, before anything that is written from here on. */
static inline void tidal_stream_end(void) { _mm_sfence(); }
#else
static inline void tidal_stream_line(void *to, const void *from) { memcpy(to, from, TIDAL_LINE); }
static inline void tidal_stream_end(void) {}
#endif

#endif
