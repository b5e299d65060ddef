"""Batch updates and reads of hot records: one shard's state, and the kernels over it."""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t

from tidal._ext.arena cimport Arena
from tidal._ext.bounds cimport Bounds
from tidal._ext.index cimport Index, index_find, mix, tag_of
from tidal._ext.layout cimport Decay, HotRecord, Lock, Reader, landmark_of, read_sum
from tidal._ext.windows cimport Shift, Windows, floor_divide

cdef enum:
    CHUNK = 2048        # events under one hold of the lock
    SUMS_MAX = 3
    ALL_EVENTS = 3      # the "window" that is every event, after 1h, 24h, 7d

cdef struct ShardState:
    Lock lock                   # everything here: events, turns of a bucket, counts, copies
    Lock records                # within it, while index and sums change: all that scores are read under
    Arena arena
    Index index
    Windows windows
    Bounds bounds               # for top; changed under both locks, its marks under those of what they mark
    Decay decays[SUMS_MAX]
    int sum_count               # sums in use, 1 to 3
    uint64_t events
    uint64_t late               # events of a bucket before that of an event that came earlier
    int64_t newest              # of the events that came; the clock may be later: it was told, or merged
    uint64_t saturated          # events left out of window counts that stand at 2^32 - 1
    uint32_t tags[CHUNK]        # scratch of the chunk under way
    uint32_t slots[CHUNK]
    double terms[SUMS_MAX][CHUNK]

cdef struct Events:
    const uint64_t *entity_ids
    const float *weights
    const int64_t *times

cdef int ingest_chunk(
    ShardState *state, Events events, int64_t count, bint gathered, const uint32_t *slots) noexcept nogil
cdef uint32_t find_or_insert(ShardState *state, uint64_t entity_id, int64_t t) noexcept nogil
cdef uint32_t find_or_insert_from(
    ShardState *state, uint64_t start, uint32_t tag, uint64_t entity_id, int64_t t) noexcept nogil
cdef void add_to_sums(const ShardState *state, HotRecord *row, const double *sums, int64_t t) noexcept nogil


# The start of the bucket of the newest event so far (INT64_MIN: none came): what lies before it is late.
cdef inline int64_t late_from(int64_t newest, int64_t fine_ns) noexcept nogil:
    return INT64_MIN if newest == INT64_MIN or fine_ns == 0 else floor_divide(newest, fine_ns) * fine_ns


# Whether an event is late; if it is the newest, its bucket is what the next ones are held to.
cdef inline bint is_late(int64_t t, int64_t *late_before, int64_t fine_ns) noexcept nogil:
    if t >= late_before[0] + fine_ns:
        late_before[0] = floor_divide(t, fine_ns) * fine_ns
    return t < late_before[0]


# How to read a window of many rows at one time.
cdef struct Reading:
    int window
    bint failed
    Shift shift
    bint shifted            # whether shifts is set
    uint32_t *shifts        # what to add or subtract, by slot

cdef uint64_t count_at(
    const ShardState *state, const HotRecord *row, uint32_t slot, int window, int64_t t) noexcept nogil
cdef void open_reading(const ShardState *state, int window, int64_t t, Reading *reading) noexcept nogil
cdef void close_reading(Reading *reading) noexcept nogil
cdef Reader open_reader(const ShardState *state, int position, int64_t t) noexcept nogil
cdef bint turns(const ShardState *state, int64_t t) noexcept nogil


cdef inline uint64_t reading_of(
    const ShardState *state, uint32_t slot, const Reading *reading
) noexcept nogil:
    cdef const HotRecord *row = &state.arena.rows[slot]
    if reading.window == ALL_EVENTS:
        return row.total
    if reading.shift.everything:
        return 0
    if not reading.shifted:
        return row.windows[reading.window]
    if reading.shift.adds:
        return row.windows[reading.window] + reading.shifts[slot]
    return row.windows[reading.window] - reading.shifts[slot]


cdef inline uint32_t find_slot(const ShardState *state, uint64_t entity_id) noexcept nogil:
    return index_find(&state.index, tag_of(mix(entity_id)), entity_id, state.arena.rows)


cdef inline double score_of(
    const ShardState *state, const HotRecord *row, int position, int64_t t
) noexcept nogil:
    return read_sum(&state.decays[position], row.sums[position], max(t, row.last_time),
                    landmark_of(&state.decays[position], row.last_time))


# score_of() for many records: `reader` was made for the same position and time.
cdef inline double read_score(
    const ShardState *state, const HotRecord *row, int position, int64_t t, const Reader *reader
) noexcept nogil:
    if reader.low <= row.last_time < reader.high:
        return row.sums[position] / reader.mantissa * reader.scale
    return score_of(state, row, position, t)
