"""Batch updates and reads of hot records.

A chunk of events is applied in passes, so that no pass waits for memory: the terms of all events (they
depend on the times alone, and vectorise), the homes of all ids with a prefetch of each cell, the slots
with a prefetch of each record, and then the updates in the order of the events.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from tidal._ext.arena cimport arena_ensure
from tidal._ext.index cimport (
    NOT_FOUND, home_of, index_ensure, index_find, index_guess, index_insert, mix, tag_of,
)
from tidal._ext.layout cimport (
    HotRecord, Reader, acquire, add_term, add_terms, landmark_of, move_sum, prefetch, read_sum, reader_of,
    unlock,
)
from tidal._ext.windows cimport (
    Shift, add_late, advance_clock, floor_divide, shift_of_all, shift_of_slot, shift_to, windows_reserve,
)

cdef enum:
    AHEAD = 32          # events between the prefetch of a cell and its look-up
    BLOCK = 256         # events whose records are fetched, then changed: they fit the nearest cache


cdef uint32_t find_slot(const ShardState *state, uint64_t entity_id) noexcept nogil:
    return index_find(&state.index, tag_of(mix(entity_id)), entity_id, state.arena.rows)


cdef uint32_t find_or_insert(ShardState *state, uint64_t entity_id, int64_t t) noexcept nogil:
    """The slot of an id, made where it is new, with t as its newest time. Room must have been ensured."""
    cdef uint32_t tag = tag_of(mix(entity_id))
    cdef uint32_t slot = index_find(&state.index, tag, entity_id, state.arena.rows)
    cdef HotRecord *row
    if slot == NOT_FOUND:
        slot = state.arena.count
        state.arena.count += 1
        row = &state.arena.rows[slot]
        memset(row, 0, sizeof(HotRecord))
        row.entity_id = entity_id
        row.last_time = t
        index_insert(&state.index, tag, slot)
    return slot


cdef void add_to_sums(const ShardState *state, HotRecord *row, const double *sums, int64_t t) noexcept nogil:
    """Add sums that are scaled to the landmark of t, whatever the landmark of the record."""
    cdef int j
    cdef int64_t mine, theirs
    for j in range(state.sum_count):
        mine, theirs = landmark_of(&state.decays[j], row.last_time), landmark_of(&state.decays[j], t)
        if t > row.last_time:
            row.sums[j] = move_sum(&state.decays[j], row.sums[j], mine, theirs) + sums[j]
        else:
            row.sums[j] += move_sum(&state.decays[j], sums[j], theirs, mine)
    row.last_time = max(row.last_time, t)


cdef double score_of(const ShardState *state, const HotRecord *row, int position, int64_t t) noexcept nogil:
    return read_sum(&state.decays[position], row.sums[position], max(t, row.last_time),
                    landmark_of(&state.decays[position], row.last_time))


cdef Reader open_reader(const ShardState *state, int position, int64_t t) noexcept nogil:
    """The reader for the records that are newest now, as most are."""
    return reader_of(&state.decays[position], t, min(t, state.windows.clock) if state.windows.started else t)


cdef void add_anywhere(const ShardState *state, HotRecord *row, float weight, int64_t t) noexcept nogil:
    cdef double[SUMS_MAX] terms
    cdef int j
    for j in range(state.sum_count):
        terms[j] = add_term(&state.decays[j], weight, t, landmark_of(&state.decays[j], t))
    add_to_sums(state, row, terms, t)


cdef bint prepare_terms(
    ShardState *state, Events events, int64_t count, int64_t earliest, int64_t latest,
    int64_t *low_out, int64_t *high_out
) noexcept nogil:
    """Fill state.terms if all events lie between two neighbouring landmarks, [low, high); return whether."""
    cdef int64_t landmark, cell
    cdef int j
    low_out[0], high_out[0] = INT64_MIN, INT64_MAX
    for j in range(state.sum_count):
        cell = state.decays[j].cell
        landmark = landmark_of(&state.decays[j], earliest)
        if cell:
            if latest - landmark >= cell:
                return False
            low_out[0] = max(low_out[0], landmark)
            high_out[0] = min(high_out[0], landmark + cell)
        add_terms(
            &state.decays[j], events.weights, events.times, count, landmark, earliest, latest, state.terms[j])
    return True


cdef void find_slots(
    ShardState *state, const uint64_t *entity_ids, int64_t start, int64_t stop, int64_t count
) noexcept nogil:
    """Fill state.slots with likely slots, and have their records on the way to the cache."""
    cdef int64_t i
    cdef uint32_t slot
    if start == 0:
        hash_ids(state, entity_ids, 0, min(<int64_t>AHEAD, count))
    for i in range(start, stop):
        if i + AHEAD < count:
            hash_ids(state, entity_ids, i + AHEAD, i + AHEAD + 1)
        slot = index_guess(&state.index, state.tags[i])
        state.slots[i] = slot
        if slot != NOT_FOUND:
            prefetch(&state.arena.rows[slot])


cdef inline void hash_ids(
    ShardState *state, const uint64_t *entity_ids, int64_t start, int64_t stop
) noexcept nogil:
    """Fill state.tags, and have their cells on the way to the cache."""
    cdef int64_t i
    for i in range(start, stop):
        state.tags[i] = tag_of(mix(entity_ids[i]))
        prefetch(&state.index.cells[home_of(&state.index, state.tags[i])])


cdef int ingest_chunk(ShardState *state, Events events, int64_t count) noexcept nogil:
    """Apply CHUNK events at most. 0, or -1 without memory. The caller holds the lock, but not that of the
    records: a score can be read while windows turn and the index grows.

    The clock goes to the newest of them first, so windows turn once a chunk, however many minutes of history
    are in it. Slots are given in the order of the events, so that equal logs give equal bytes however
    they are cut.
    """
    cdef int64_t i, earliest = INT64_MAX, latest = INT64_MIN
    cdef int failed
    for i in range(count):
        earliest = min(earliest, events.times[i])
        latest = max(latest, events.times[i])
    if (index_ensure(&state.index, <uint64_t>state.arena.count + count, &state.records)
            or arena_ensure(&state.arena, <size_t>state.arena.count + count)
            or advance_clock(&state.windows, state.arena.rows, state.arena.count, latest)
            or windows_reserve(&state.windows, count, state.arena.count)):
        return -1
    acquire(&state.records)
    failed = update_records(state, events, count, earliest, latest)
    unlock(&state.records)
    return failed


cdef int update_records(
    ShardState *state, Events events, int64_t count, int64_t earliest, int64_t latest
) noexcept nogil:
    """Add the events of a chunk to their records. 0, or -1 without memory for late ones."""
    cdef int64_t i, t, low, high
    cdef uint32_t slot
    cdef HotRecord *row
    cdef double *terms0 = state.terms[0]
    cdef double *terms1 = state.terms[1]
    cdef double *terms2 = state.terms[2]
    cdef uint32_t inc0, inc1, inc2, largest = state.windows.largest
    cdef uint32_t *running
    cdef size_t running_count
    cdef bint windowed = state.windows.fine_ns != 0, same_cell, failed = False
    running, running_count = state.windows.running, state.windows.running_count
    inc0, inc1, inc2 = state.windows.increments[0], state.windows.increments[1], state.windows.increments[2]
    same_cell = prepare_terms(state, events, count, earliest, latest, &low, &high)
    for i in range(count):
        if i % BLOCK == 0:
            find_slots(state, events.entity_ids, i, min(i + BLOCK, count), count)
        t = events.times[i]
        slot = state.slots[i]
        if slot == NOT_FOUND or state.arena.rows[slot].entity_id != events.entity_ids[i]:
            slot = find_or_insert(state, events.entity_ids[i], t)
        row = &state.arena.rows[slot]
        row.total += 1
        if same_cell and low <= row.last_time < high:
            row.sums[0] += terms0[i]
            if state.sum_count > 1:
                row.sums[1] += terms1[i]
                if state.sum_count > 2:
                    row.sums[2] += terms2[i]
            row.last_time = max(row.last_time, t)
        else:
            add_anywhere(state, row, events.weights[i], t)
        if not windowed:
            continue
        if row.windows[largest] == UINT32_MAX:
            state.saturated += 1
        elif t >= state.windows.running_start:
            running[running_count] = slot
            running_count += 1
            row.windows[0] += inc0
            row.windows[1] += inc1
            row.windows[2] += inc2
        else:
            state.late += 1
            failed = failed or add_late(&state.windows, row, slot, state.arena.count, t)
    state.windows.running_count = running_count
    state.events += count
    return -1 if failed else 0


# ---------------------------------------------------------------------------------- counts at any time


cdef uint64_t count_at(
    const ShardState *state, const HotRecord *row, uint32_t slot, int window, int64_t t
) noexcept nogil:
    cdef Shift shift
    cdef uint32_t count
    if window == ALL_EVENTS:
        return row.total
    shift = shift_to(&state.windows, window, t)
    if shift.everything:
        return 0
    count = shift_of_slot(&state.windows, &shift, slot)
    return row.windows[window] + count if shift.adds else row.windows[window] - count


cdef void open_reading(const ShardState *state, int window, int64_t t, Reading *reading) noexcept nogil:
    memset(reading, 0, sizeof(Reading))
    reading.window = window
    if window == ALL_EVENTS or state.arena.count == 0:
        return
    reading.shift = shift_to(&state.windows, window, t)
    if reading.shift.everything or reading.shift.columns == 0:
        return
    reading.shifts = <uint32_t *>calloc(state.arena.count, sizeof(uint32_t))
    reading.failed = reading.shifts == NULL
    reading.shifted = not reading.failed
    if reading.shifted:
        shift_of_all(&state.windows, &reading.shift, reading.shifts)


cdef void close_reading(Reading *reading) noexcept nogil:
    free(reading.shifts)


cdef bint turns(const ShardState *state, int64_t t) noexcept nogil:
    """Whether time t lies in another fine bucket than the running counts."""
    return (state.windows.started and state.windows.fine_ns != 0
            and floor_divide(max(t, state.windows.clock), state.windows.fine_ns) != state.windows.rolled)
