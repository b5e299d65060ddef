/* The hot record: everything that a read of one entity and signal type needs, in one cache line.
 *
 * offset bytes field
 *      0     8 entity_id   u64
 *      8     8 last_time   i64, ns: the newest event of this entity and type
 *     16    24 sums        f64 x 3, one for each half-life, scaled to the landmark of last_time (landmark.h)
 *     40     8 total       u64, count of all events
 *     48    12 windows     u32 x 3, running counts for 1h, 24h, 7d
 *     60     4 reserved    u32, zero
 */
#ifndef TIDAL_HOT_RECORD_H
#define TIDAL_HOT_RECORD_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t entity_id;
    int64_t last_time;
    double sums[3];
    uint64_t total;
    uint32_t windows[3];
    uint32_t reserved;
} tidal_hot_record;

static_assert(sizeof(tidal_hot_record) == 64, "a hot record fills one cache line");
static_assert(offsetof(tidal_hot_record, entity_id) == 0, "entity_id moved");
static_assert(offsetof(tidal_hot_record, last_time) == 8, "last_time moved");
static_assert(offsetof(tidal_hot_record, sums) == 16, "sums moved");
static_assert(offsetof(tidal_hot_record, total) == 40, "total moved");
static_assert(offsetof(tidal_hot_record, windows) == 48, "windows moved");
static_assert(offsetof(tidal_hot_record, reserved) == 60, "reserved moved");

/* Add to the window counts, and to what is reserved beside them, modulo 2^32: one addition of a vector. */
static inline void tidal_add_counts(tidal_hot_record *row, const uint32_t counts[4]) {
    char *at = (char *)row + offsetof(tidal_hot_record, windows);
    uint32_t sums[4];
    memcpy(sums, at, sizeof sums);
    for (int i = 0; i < 4; i++) sums[i] += counts[i];
    memcpy(at, sums, sizeof sums);
}

#endif
