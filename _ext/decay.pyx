"""Batch updates and reads of hot records.

A chunk of events is applied in passes, so that no pass waits for memory: the terms of all events (they
depend on the times alone, and vectorise), the homes of all ids with a prefetch of each cell, the slots
with a prefetch of each record, and then the updates in the order of the events.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from tidal._ext.arena cimport arena_ensure
from tidal._ext.bounds cimport BLOCK_BITS, MARKED, covers
from tidal._ext.index cimport (
    NOT_FOUND, Index, home_of, index_ensure, index_fill, index_guess, index_seek, mix, slot_in, tag_of,
)
from tidal._ext.layout cimport (
    HotRecord, Reader, acquire, add_counts, add_term, add_terms, landmark_of, move_sum, prefetch, reader_of,
    unlock,
)
from tidal._ext.vectors cimport time_range
from tidal._ext.windows cimport (
    COUNTED, Place, Shift, add_at, advance_clock, count_events, floor_divide, place_of, shift_of_all,
    shift_of_slot, shift_to, windows_reserve,
)

cdef enum:
    BLOCK = COUNTED     # events whose cells, then records, are fetched, then changed: all are near then
    RUN_MIN = 32        # events of one place that are worth a loop of their own

cdef uint32_t[4] NOTHING = [0, 0, 0, 0]

cdef uint32_t find_or_insert(ShardState *state, uint64_t entity_id, int64_t t) noexcept nogil:
    """The slot of an id, made where it is new, with t as its newest time. Room must have been ensured."""
    cdef uint32_t tag = tag_of(mix(entity_id))
    return find_or_insert_from(state, home_of(&state.index, tag), tag, entity_id, t)


cdef uint32_t find_or_insert_from(
    ShardState *state, uint64_t start, uint32_t tag, uint64_t entity_id, int64_t t
) noexcept nogil:
    """find_or_insert() of an id with this tag, which is in none of its cells before ``start``."""
    cdef uint64_t at = index_seek(&state.index, start, tag, entity_id, state.arena.rows)
    cdef uint32_t slot = slot_in(&state.index, at)
    cdef HotRecord *row
    if slot == NOT_FOUND:
        slot = state.arena.count
        state.arena.count += 1
        row = &state.arena.rows[slot]
        memset(row, 0, sizeof(HotRecord))
        row.entity_id = entity_id
        row.last_time = t
        index_fill(&state.index, at, tag, slot)
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
    cdef int64_t earliest, latest
    cdef uint64_t entities = state.arena.count + (count if slots == NULL else 0)
    cdef int failed
    time_range(events.times, count, &earliest, &latest)
    if (index_ensure(&state.index, entities, &state.records)
            or arena_ensure(&state.arena, entities)
            or advance_clock(&state.windows, state.arena.rows, state.arena.count, latest)
            or windows_reserve(&state.windows, count, latest, state.arena.count)):
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
    cdef int64_t start, stop = 0, low, high
    cdef bint known = slots != NULL, failed = False
    cdef bint one_place = place_of(&state.windows, earliest, latest, &place)
    if not gathered and earliest < state.windows.running_start:
        state.late += count_late(state, events, count)
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
            find_slots(state, state.tags, start, stop, state.slots)
            settle_slots(state, events, start, stop, state.slots)
        if one_place:
            failed = add_in_one_place(state, events, start, stop, low, high, slots, &place) or failed
        else:
            failed = add_by_runs(state, events, start, stop, low, high, slots, &place) or failed
    state.events += count
    mark_blocks(state, slots, count)
    return -1 if failed else 0


cdef int add_by_runs(
    ShardState *state, Events events, int64_t start, int64_t stop, int64_t low, int64_t high,
    const uint32_t *slots, Place *place
) noexcept nogil:
    """Add events, those of one place together while they come in long runs. 0, or -1 without memory.

    ``place`` is where the one before them counted, or any other.
    """
    cdef int64_t end
    cdef int failed = 0
    while start < stop:
        if not place.start <= events.times[start] < place.end:
            place_of(&state.windows, events.times[start], events.times[start], place)
        end = start + 1
        while end < stop and place.start <= events.times[end] < place.end:
            end += 1
        if end - start < RUN_MIN:
            break
        failed = add_in_one_place(state, events, start, end, low, high, slots, place) or failed
        start = end
    if start == stop:
        return failed
    if add_to_records(state, events, start, stop, low, high, slots, NOTHING):
        return count_with_care(state, events, start, stop, slots, place) or failed
    return count_events(
        &state.windows, state.arena.rows, state.arena.count, &slots[start], &events.times[start],
        stop - start, place) or failed


cdef int add_in_one_place(
    ShardState *state, Events events, int64_t start, int64_t stop, int64_t low, int64_t high,
    const uint32_t *slots, Place *place
) noexcept nogil:
    """Add events, and count them at this place. 0, or -1 without memory for counting them."""
    cdef bint full = add_to_records(state, events, start, stop, low, high, slots, place.counts)
    cdef uint32_t[4] back
    cdef int64_t i
    if not full and not add_at(place, &slots[start], stop - start, state.windows.room, state.arena.count):
        return 0
    for i in range(4):
        back[i] = 0 - place.counts[i]  # modulo 2^32, as they were added
    for i in range(start, stop):
        add_counts(&state.arena.rows[slots[i]], back)
    return count_with_care(state, events, start, stop, slots, place) if full else -1


cdef uint64_t count_late(const ShardState *state, Events events, int64_t count) noexcept nogil:
    """How many events are of an earlier bucket than one before them."""
    cdef int64_t i, late_before = late_from(state.newest, state.windows.fine_ns)
    cdef uint64_t late = 0
    if state.windows.fine_ns:
        for i in range(count):
            late += is_late(events.times[i], &late_before, state.windows.fine_ns)
    return late


cdef void settle_slots(
    ShardState *state, Events events, int64_t start, int64_t stop, uint32_t *slots
) noexcept nogil:
    """Turn likely slots into the right ones; entities that are new get theirs."""
    cdef const HotRecord *rows = state.arena.rows
    cdef int64_t i
    for i in range(start, stop):
        if slots[i] == NOT_FOUND or rows[slots[i]].entity_id != events.entity_ids[i]:
            slots[i] = find_or_insert(state, events.entity_ids[i], events.times[i])


cdef bint add_to_records(
    const ShardState *state, Events events, int64_t start, int64_t stop, int64_t low, int64_t high,
    const uint32_t *slots, const uint32_t *counts
) noexcept nogil:
    """Add events to totals and sums, and these counts of each to the windows'.

    Return whether some window count stood so high that there may have been no room for all.
    """
    cdef HotRecord *rows = state.arena.rows
    cdef HotRecord *row
    cdef const double *terms0 = state.terms[0]
    cdef const double *terms1 = state.terms[1]
    cdef const double *terms2 = state.terms[2]
    cdef int sum_count = state.sum_count
    cdef uint32_t largest = state.windows.largest, most = 0
    cdef uint32_t[4] added = [counts[0], counts[1], counts[2], counts[3]]
    cdef int64_t[BLOCK] others  # events whose record has another landmark; so have those of it that follow
    cdef int64_t i, t, last, other_count = 0
    for i in range(start, stop):
        row, t = &rows[slots[i]], events.times[i]
        row.total += 1
        most = max(most, row.windows[largest])
        add_counts(row, added)
        last = row.last_time
        if low <= last < high:
            row.sums[0] += terms0[i]
            if sum_count > 1:
                row.sums[1] += terms1[i]
                if sum_count > 2:
                    row.sums[2] += terms2[i]
            row.last_time = max(last, t)
        else:
            others[other_count] = i
            other_count += 1
    for i in range(other_count):
        add_anywhere(
            state, &rows[slots[others[i]]], events.weights[others[i]], events.times[others[i]])
    return most > UINT32_MAX - BLOCK


cdef int count_with_care(
    ShardState *state, Events events, int64_t start, int64_t stop, const uint32_t *slots, Place *place
) noexcept nogil:
    """Count events one by one, but those for which a record has no room; 0, or -1 without memory."""
    cdef int64_t i
    cdef int failed = 0
    for i in range(start, stop):
        if state.arena.rows[slots[i]].windows[state.windows.largest] == UINT32_MAX:
            state.saturated += 1
        else:
            failed = count_events(
                &state.windows, state.arena.rows, state.arena.count, &slots[i], &events.times[i], 1,
                place) or failed
    return failed


cdef void mark_blocks(ShardState *state, const uint32_t *slots, int64_t count) noexcept nogil:
    cdef int64_t i
    if state.bounds.marks != NULL and covers(&state.bounds, state.arena.count):
        for i in range(count):
            state.bounds.marks[slots[i] >> BLOCK_BITS] = MARKED
        state.bounds.marked += count


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
