"""Batch updates and reads of hot records.

A chunk of events is applied in passes, so that no pass waits for memory: the terms of all events (they
depend on the times alone, and vectorise), the homes of all ids with a prefetch of each cell, the slots
with a prefetch of each record, and then the updates in the order of the events.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from tidal._ext.arena cimport arena_ensure
from tidal._ext.bounds cimport BLOCK_BITS, MARKED, covers
from tidal._ext.index cimport (
    NOT_FOUND, Index, index_ensure, index_find, index_guess, index_insert, mix, tag_of,
)
from tidal._ext.layout cimport (
    HotRecord, Reader, acquire, add_term, add_terms, landmark_of, move_sum, prefetch, reader_of,
    unlock,
)
from tidal._ext.windows cimport (
    Place, Shift, add_at, advance_clock, floor_divide, place_of, shift_of_all, shift_of_slot, shift_to,
    windows_reserve,
)

cdef enum:
    AHEAD = 16
    BLOCK = 256         # events whose cells, then records, are fetched, then changed: all are near then


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
        if count == 1:  # the same bits, without what a loop over vectors takes to begin
            state.terms[j][0] = add_term(&state.decays[j], events.weights[0], latest, landmark)
            continue
        add_terms(
            &state.decays[j], events.weights, events.times, count, landmark, earliest, latest, state.terms[j])
    return True


cdef void hash_ids(
    const Index *index, const uint64_t *entity_ids, int64_t start, int64_t stop, uint32_t *tags_out
) noexcept nogil:
    """Fill tags_out, and have their cells on the way to the cache."""
    cdef const uint64_t *cells = index.cells
    cdef uint32_t shift = 32 - index.bits, tag
    cdef int64_t i
    for i in range(start, stop):
        tag = tag_of(mix(entity_ids[i]))
        tags_out[i] = tag
        prefetch(&cells[tag >> shift])


cdef void find_slots(
    const ShardState *state, const uint32_t *tags, int64_t start, int64_t stop, uint32_t *slots_out
) noexcept nogil:
    """Fill slots_out with likely slots, and have their records on the way to the cache."""
    cdef const uint64_t *cells = state.index.cells
    cdef const HotRecord *rows = state.arena.rows
    cdef uint32_t shift = 32 - state.index.bits, tag, slot
    cdef uint64_t cell
    cdef int64_t i
    for i in range(start, stop):
        tag = tags[i]
        cell = cells[tag >> shift]
        slot = <uint32_t>cell - 1  # NOT_FOUND where the cell is empty
        if <uint32_t>(cell >> 32) != tag and cell != 0:
            slot = index_guess(&state.index, tag)
        slots_out[i] = slot
        prefetch(&rows[slot])  # of no record either: that is no access


cdef int ingest_chunk(
    ShardState *state, Events events, int64_t count, bint gathered, const uint32_t *slots
) noexcept nogil:
    """Apply CHUNK events at most. 0, or -1 without memory. The caller holds the lock, but not that of the
    records: a score can be read while windows turn and the index grows.

    The clock goes to the newest of them first, so windows turn once a chunk, however many minutes of history
    are in it. Events that were ``gathered`` are not in the order in which they came: somebody else has
    counted how many of them were late.

    ``slots``: those of the events, where they are known; NULL where they are to be looked up by id.
    """
    cdef int64_t i, earliest = INT64_MAX, latest = INT64_MIN
    cdef uint64_t entities = state.arena.count + (count if slots == NULL else 0)
    cdef int failed
    for i in range(count):
        earliest = min(earliest, events.times[i])
        latest = max(latest, events.times[i])
    if (index_ensure(&state.index, entities, &state.records)
            or arena_ensure(&state.arena, entities)
            or advance_clock(&state.windows, state.arena.rows, state.arena.count, latest)
            or windows_reserve(&state.windows, count, state.arena.count)):
        return -1
    acquire(&state.records)
    failed = update_records(state, events, count, earliest, latest, gathered, slots)
    unlock(&state.records)
    return failed


cdef int update_records(
    ShardState *state, Events events, int64_t count, int64_t earliest, int64_t latest, bint gathered,
    const uint32_t *slots
) noexcept nogil:
    """Add the events of a chunk to their records. 0, or -1 without memory for late ones."""
    cdef Place place
    cdef bint known = slots != NULL
    cdef HotRecord *rows = state.arena.rows
    cdef int64_t i, start, stop = 0, t, low, high
    cdef uint32_t slot
    cdef HotRecord *row
    cdef const double *terms0 = state.terms[0]
    cdef const double *terms1 = state.terms[1]
    cdef const double *terms2 = state.terms[2]
    cdef uint32_t inc0, inc1, inc2, largest = state.windows.largest
    cdef uint32_t *running = state.windows.running + state.windows.running_count
    cdef int64_t running_start = state.windows.running_start
    cdef int sum_count = state.sum_count
    cdef int64_t late_before
    cdef uint64_t late = 0
    cdef bint windowed = state.windows.fine_ns != 0, failed = False
    cdef uint16_t *marks = state.bounds.marks
    if marks != NULL and not covers(&state.bounds, <uint64_t>state.arena.count + count):
        marks = NULL
    inc0, inc1, inc2 = state.windows.increments[0], state.windows.increments[1], state.windows.increments[2]
    place.start = place.end = 0
    late_before = late_from(state.newest, state.windows.fine_ns)
    state.newest = max(state.newest, latest)
    if not prepare_terms(state, events, count, earliest, latest, &low, &high):
        low = high = 0  # of no record
    if not known:
        slots = state.slots
        hash_ids(&state.index, events.entity_ids, 0, min(<int64_t>BLOCK, count), state.tags)
    while stop < count:
        start, stop = stop, min(stop + BLOCK, count)
        if not known:
            hash_ids(&state.index, events.entity_ids, stop, min(stop + BLOCK, count), state.tags)
            find_slots(state, state.tags, start, stop, slots)
        for i in range(start, stop):
            t, slot = events.times[i], slots[i]
            if known:
                prefetch(&rows[slots[min(i + AHEAD, stop - 1)]])
            if not known and (slot == NOT_FOUND or rows[slot].entity_id != events.entity_ids[i]):
                slot = find_or_insert(state, events.entity_ids[i], t)
            row = &rows[slot]
            row.total += 1
            if marks != NULL:
                marks[slot >> BLOCK_BITS] = MARKED
            if low <= row.last_time < high:
                row.sums[0] += terms0[i]
                if sum_count > 1:
                    row.sums[1] += terms1[i]
                    if sum_count > 2:
                        row.sums[2] += terms2[i]
                row.last_time = max(row.last_time, t)
            else:
                add_anywhere(state, row, events.weights[i], t)
            if not windowed:
                continue
            if row.windows[largest] == UINT32_MAX:
                state.saturated += 1
            elif t >= running_start:
                late_before = running_start
                running[0] = slot
                running += 1
                row.windows[0] += inc0
                row.windows[1] += inc1
                row.windows[2] += inc2
            else:
                late += is_late(t, &late_before, state.windows.fine_ns)
                if not place.start <= t < place.end:
                    place_of(&state.windows, t, &place)
                if place.start != INT64_MIN:
                    failed = failed or add_at(&place, row, slot, state.arena.count)
    state.late += 0 if gathered else late
    state.windows.running_count = running - state.windows.running
    state.events += count
    if marks != NULL:
        state.bounds.marked += count
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
