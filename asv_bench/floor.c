/* Yardsticks for table.py, run turn by turn with tidal on the same events.
 *
 *   floor   Find each event's 64-byte record through a hash index and touch it; with prefetch, one core. No
 *           engine that keeps a record per entity can do less.
 *   ledger  The plain design: one event at a time, a decayed score updated by compare-and-swap, 60 minute and
 *           168 hour counters beside it in an entry of 1,024 bytes, cleared on access as time goes on.
 *   scan    Read each record once, in order.
 *
 *   floor IDS TIMES EVENTS     files of EVENTS native u64 ids and i64 times in ns, shorter ones are refused
 *
 * Each line on standard input names a yardstick; the answer is the seconds that one pass over all events (scan:
 * over all records) took. "entities" answers with how many there are. Passes follow each other in event time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 4096, AHEAD = 32, MINUTES = 60, HOURS = 168 };

static const int64_t MINUTE_NS = 60000000000;
static const double DECAY_PER_NS = 0.6931471805599453 / (7 * 86400e9);

typedef struct {
    uint64_t id;
    int64_t last_time;
    double sums[3];
    uint64_t total;
    uint32_t windows[3], running;
} __attribute__((aligned(64))) Record;

typedef struct {
    uint64_t score_bits;
    int64_t last_time, minute, hour;
    uint64_t total;
    uint32_t minutes[MINUTES], hours[HOURS];
    uint8_t unused[72];
} __attribute__((aligned(64))) Entry;

_Static_assert(sizeof(Record) == 64, "a record is one cache line");
_Static_assert(sizeof(Entry) == 1024, "an entry is as large as in the plain design");

typedef struct {
    uint64_t id;
    uint64_t slot_plus_1; /* 0: empty */
} Cell;

static Cell *cells;
static uint64_t mask;
static uint32_t entities;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *zeroed(size_t bytes) {
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        fail("mmap");
    madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

static const void *column(const char *path, size_t bytes) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0)
        fail(path);
    if ((size_t)status.st_size < bytes) {
        fprintf(stderr, "%s has %lld bytes, %zu are needed\n", path, (long long)status.st_size, bytes);
        exit(1);
    }
    void *block = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (block == MAP_FAILED)
        fail(path);
    close(fd);
    return block;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static inline uint64_t home(uint64_t id) {
    __uint128_t product = (__uint128_t)id * 0xd1342543de82ef95u;
    return ((uint64_t)(product >> 64) ^ (uint64_t)product) & mask;
}

static inline uint32_t slot_from(uint64_t at, uint64_t id) {
    while (cells[at].id != id || !cells[at].slot_plus_1)
        at = (at + 1) & mask;
    return (uint32_t)(cells[at].slot_plus_1 - 1);
}

static void index_all(const uint64_t *ids, size_t count) {
    uint64_t size = 1 << 10;
    mask = size - 1;
    cells = zeroed(size * sizeof *cells);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = home(ids[i]);
        while (cells[at].slot_plus_1 && cells[at].id != ids[i])
            at = (at + 1) & mask;
        if (cells[at].slot_plus_1)
            continue;
        cells[at] = (Cell){ids[i], ++entities};
        if (2 * (uint64_t)entities <= size)
            continue;
        Cell *old = cells;
        cells = zeroed(2 * size * sizeof *cells);
        mask = 2 * size - 1;
        for (uint64_t j = 0; j < size; j++) {
            if (!old[j].slot_plus_1)
                continue;
            for (at = home(old[j].id); cells[at].slot_plus_1; at = (at + 1) & mask)
                ;
            cells[at] = old[j];
        }
        munmap(old, size * sizeof *old);
        size *= 2;
    }
}

static void floor_pass(const uint64_t *ids, size_t count, Record *records) {
    static uint64_t homes[CHUNK];
    static uint32_t slots[CHUNK];
    for (size_t start = 0; start < count; start += CHUNK) {
        const uint64_t *chunk = ids + start;
        size_t length = count - start < CHUNK ? count - start : CHUNK;
        for (size_t i = 0; i < length + AHEAD; i++) {
            if (i < length) {
                homes[i] = home(chunk[i]);
                __builtin_prefetch(&cells[homes[i]]);
            }
            if (i >= AHEAD) {
                size_t j = i - AHEAD;
                slots[j] = slot_from(homes[j], chunk[j]);
                __builtin_prefetch(&records[slots[j]], 1);
            }
        }
        for (size_t i = 0; i < length; i++)
            records[slots[i]].total++;
    }
}

/* Clear the counters of a ring that time has passed over. */
static inline void turn(uint32_t *ring, int64_t length, int64_t *at, int64_t now) {
    if (now - *at >= length) {
        memset(ring, 0, length * sizeof *ring);
        *at = now;
    }
    while (*at < now)
        ring[++*at % length] = 0;
}

static inline void add_decayed(Entry *entry, int64_t t) {
    uint64_t old = __atomic_load_n(&entry->score_bits, __ATOMIC_ACQUIRE), new;
    int64_t age = t - entry->last_time;
    do {
        double score;
        memcpy(&score, &old, sizeof score);
        score = age >= 0 ? score * exp(-DECAY_PER_NS * age) + 1 : score + exp(DECAY_PER_NS * age);
        memcpy(&new, &score, sizeof new);
    } while (!__atomic_compare_exchange_n(&entry->score_bits, &old, new, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    if (age > 0)
        __atomic_store_n(&entry->last_time, t, __ATOMIC_RELEASE);
}

static void ledger_pass(const uint64_t *ids, const int64_t *times, int64_t shift, size_t count, Entry *entries) {
    for (size_t i = 0; i < count; i++) {
        Entry *entry = &entries[slot_from(home(ids[i]), ids[i])];
        int64_t t = times[i] + shift, minute = t / MINUTE_NS, hour = minute / 60;
        turn(entry->minutes, MINUTES, &entry->minute, minute);
        turn(entry->hours, HOURS, &entry->hour, hour);
        entry->minutes[minute % MINUTES]++;
        entry->hours[hour % HOURS]++;
        entry->total++;
        add_decayed(entry, t);
    }
}

static volatile uint64_t seen; /* keeps the compiler from dropping a scan */

static void scan_pass(const Record *records) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < entities; i++)
        sum += records[i].total;
    seen = sum;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: floor IDS TIMES EVENTS\n");
        return 2;
    }
    size_t count = strtoull(argv[3], NULL, 10);
    const uint64_t *ids = column(argv[1], count * sizeof *ids);
    const int64_t *times = column(argv[2], count * sizeof *times);
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        first = times[i] < first ? times[i] : first;
        last = times[i] > last ? times[i] : last;
    }
    index_all(ids, count);
    Record *records = zeroed(entities * sizeof *records);
    memset(records, 0, entities * sizeof *records); /* so that its pages are there */
    Entry *entries = NULL;
    int64_t shift = 0;
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "ledger") && !entries) {
            entries = zeroed(entities * sizeof *entries);
            ledger_pass(ids, times, shift, count, entries);
            shift += last - first + 1;
        }
        double start = seconds();
        if (!strcmp(line, "entities")) {
            printf("%u\n", entities);
            fflush(stdout);
            continue;
        } else if (!strcmp(line, "floor")) {
            floor_pass(ids, count, records);
        } else if (!strcmp(line, "scan")) {
            scan_pass(records);
        } else if (!strcmp(line, "ledger")) {
            ledger_pass(ids, times, shift, count, entries);
            shift += last - first + 1;
        } else {
            fprintf(stderr, "%s is no yardstick; name floor, ledger, scan or entities\n", line);
            return 2;
        }
        printf("%.9f\n", seconds() - start);
        fflush(stdout);
    }
    return 0;
}
