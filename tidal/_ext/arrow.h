/* The Arrow C data and stream interfaces (their layout is an ABI that never changes), and the hash
 * that finds equal texts in a column. */

#ifndef TIDAL_ARROW_H
#define TIDAL_ARROW_H

#include <stdint.h>
#include <string.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

struct ArrowSchema {
    const char *format;               /* the type, as a short code: "l" is int64, "+s" a struct */
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;   /* the type of the values, when this column holds indexes */
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;                   /* rows, after offset */
    int64_t null_count;               /* -1: not counted */
    int64_t offset;                   /* rows to skip in every buffer */
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;             /* [0] validity bits or NULL; no sizes are given */
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out); /* released out: the end */
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

#endif

/* Two secrets, drawn once a process, so that nobody can prepare texts that all collide. */
typedef struct {
    uint64_t first, second;
} TextSeed;

static inline uint64_t text_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t text_word(const char *data, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, data, size);
    return word;
}

static inline uint64_t text_hash(const char *data, int64_t size, TextSeed seed)
{
    uint64_t low = 0, high = 0, hash = seed.second ^ (uint64_t)size;
    for (; size > 16; data += 16, size -= 16)
        hash = text_fold(text_word(data, 8) ^ seed.first, text_word(data + 8, 8) ^ hash);
    if (size >= 8) {                  /* the two words may overlap: cheaper than a loop over the rest */
        low = text_word(data, 8);
        high = text_word(data + size - 8, 8);
    } else if (size >= 4) {
        low = text_word(data, 4);
        high = text_word(data + size - 4, 4);
    } else if (size > 0) {
        low = (uint64_t)(uint8_t)data[0] << 16 | (uint64_t)(uint8_t)data[size / 2] << 8 |
              (uint8_t)data[size - 1];
    }
    return text_fold(text_fold(low ^ seed.first, high ^ hash), seed.second);
}

#endif
