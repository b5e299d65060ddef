"""Folding, expiry and rotation of window columns.

Each event leaves its slot in the list of the running bucket. When that bucket turns, the list becomes a
column of (slot, count) entries, without a visit to any record; the columns that leave a window are
subtracted from the running counts. An hour is gathered from its minutes when it is over. So a read is one
load, rotation costs the touched entities only, and memory follows activity.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from tidal._ext.layout cimport HotRecord, prefetch

cdef enum:
    AHEAD = 16                  # rows to prefetch before they are touched
    COLUMN_ENTRIES_MIN = 16
    COMPACT_MIN = 256
    RUNNING_MIN = 16384         # slots that the running list may hold, however few rows there are
    SPARSE_FACTOR = 16          # below row_count / 16 entries, sorting beats a counter for each row
    DENSE_FACTOR = 2            # below row_count / 2 entries, few are of the same slot
    GROWN = 3                   # times what a column had: then it is compacted anew
    RADIX_BITS = 10
    RADIX = 1 << RADIX_BITS

# Constants of C's, so that a division by one is compiled to a multiplication.
cdef extern from *:
    """
    #define TIDAL_MINUTE_NS INT64_C(60000000000)
    #define TIDAL_HOUR_NS INT64_C(3600000000000)
    """
    const int64_t MINUTE_NS "TIDAL_MINUTE_NS"
    const int64_t HOUR_NS "TIDAL_HOUR_NS"

cdef int64_t[3] SPAN = [60, 24, 168]  # buckets of each window: minutes, hours, hours


cdef int64_t floor_divide(int64_t value, int64_t divisor) noexcept nogil:
    cdef int64_t quotient = value // divisor  # C division: towards zero
    return quotient - (value < 0 and quotient * divisor != value)


cdef Column *minute_column(Windows *windows, int64_t minute) noexcept nogil:
    return &windows.minutes[minute - floor_divide(minute, MINUTE_COLUMNS) * MINUTE_COLUMNS]


cdef Column *hour_column(Windows *windows, int64_t hour) noexcept nogil:
    return &windows.hours[hour - floor_divide(hour, HOUR_COLUMNS) * HOUR_COLUMNS]


cdef inline int64_t fine_of(const Windows *windows, int64_t t) noexcept nogil:
    """The fine bucket that holds a time."""
    return floor_divide(t, MINUTE_NS) if windows.keeps[0] else floor_divide(t, HOUR_NS)


cdef int64_t hour_of(const Windows *windows, int64_t fine) noexcept nogil:
    """The hour that holds a fine bucket."""
    return floor_divide(fine, MINUTES_PER_HOUR) if windows.keeps[0] else fine


# ------------------------------------------------------------------------------------------ columns


cdef int column_reserve(Column *column, size_t more, uint32_t row_count) noexcept nogil:
    """Make room for more entries; 0, or -1 without memory."""
    cdef size_t capacity
    cdef Entry *entries
    if column.count + more <= column.capacity:
        return 0
    # Where most rows are in it already, further entries are mostly of the same slots.
    if column.count >= GROWN * column.compacted + COMPACT_MIN and column.count >= row_count // DENSE_FACTOR:
        column_compact(column, row_count)  # without memory for that, growing may still work
    capacity = column.count + more + column.count // 2 + COLUMN_ENTRIES_MIN
    entries = <Entry *>realloc(column.entries, capacity * sizeof(Entry))
    if entries == NULL:
        return -1
    column.entries = entries
    column.capacity = capacity
    return 0


cdef void column_clear(Column *column) noexcept nogil:
    free(column.entries)
    memset(column, 0, sizeof(Column))


cdef int column_compact(Column *column, uint32_t row_count) noexcept nogil:
    """Leave one entry a slot, in slot order, and no spare capacity; 0, or -1 without memory and unchanged."""
    cdef Entry *trimmed
    if column.count == 0:
        return 0
    if column.count < row_count // SPARSE_FACTOR:
        if sort_entries(column, row_count):
            return -1
        join_entries(column)
    elif gather(column, <const Column **>&column, 1, NULL, 0, row_count):
        return -1
    column.compacted = column.count
    trimmed = <Entry *>realloc(column.entries, column.count * sizeof(Entry))
    if trimmed != NULL:
        column.entries = trimmed
        column.capacity = column.count
    return 0


cdef int gather(
    Column *target, const Column **sources, int source_count, const uint32_t *slots, size_t slot_count,
    uint32_t row_count
) noexcept nogil:
    """Make target the compact sum of some columns (it may be one of them) and of a list of slots.

    By a counter for each row. 0, or -1 without memory and unchanged.
    """
    cdef uint32_t *totals = <uint32_t *>calloc(row_count, sizeof(uint32_t))
    cdef Entry *entries
    cdef size_t i, distinct = 0
    cdef uint32_t slot
    cdef int source
    if totals == NULL:
        return -1
    for source in range(source_count):
        for i in range(sources[source].count):
            totals[sources[source].entries[i].slot] += sources[source].entries[i].count
    for i in range(slot_count):
        totals[slots[i]] += 1
    for slot in range(row_count):
        distinct += totals[slot] != 0
    entries = <Entry *>malloc((distinct + 1) * sizeof(Entry))
    if entries == NULL:
        free(totals)
        return -1
    free(target.entries)
    target.entries = entries
    target.capacity = distinct + 1
    target.count = 0
    for slot in range(row_count):
        # Written always, kept where it counts: whether a row was touched cannot be predicted.
        entries[target.count].slot = slot
        entries[target.count].count = totals[slot]
        target.count += totals[slot] != 0
    target.compacted = target.count
    free(totals)
    return 0


cdef int sum_columns(
    Column *target, const Column **sources, int source_count, const uint32_t *slots, size_t slot_count,
    uint32_t row_count
) noexcept nogil:
    """Make target, which is none of them, the compact sum of some columns and of a list of slots.

    0, or -1 without memory.
    """
    cdef size_t i, entries = slot_count
    cdef int source
    for source in range(source_count):
        entries += sources[source].count
    if entries >= row_count // SPARSE_FACTOR:
        return gather(target, sources, source_count, slots, slot_count, row_count)
    target.count = 0
    if column_reserve(target, entries, row_count):
        return -1
    for source in range(source_count):
        if sources[source].count:
            memcpy(&target.entries[target.count], sources[source].entries,
                   sources[source].count * sizeof(Entry))
            target.count += sources[source].count
    for i in range(slot_count):
        push(target, slots[i], 1)
    return column_compact(target, row_count)


cdef int sort_entries(Column *column, uint32_t row_count) noexcept nogil:
    """Sort by slot: by its lowest digit, then the next, each pass keeping the order of the one before."""
    cdef size_t[RADIX] places
    cdef size_t i, next_place, size
    cdef uint32_t shift = 0, digit
    cdef Entry *source = column.entries
    cdef Entry *target = <Entry *>malloc(column.count * sizeof(Entry))
    if target == NULL:
        return -1
    while shift < 32 and (row_count - 1) >> shift:
        memset(places, 0, sizeof(places))
        for i in range(column.count):
            places[source[i].slot >> shift & (RADIX - 1)] += 1
        next_place = 0
        for digit in range(RADIX):
            size = places[digit]
            places[digit] = next_place
            next_place += size
        for i in range(column.count):
            digit = source[i].slot >> shift & (RADIX - 1)
            target[places[digit]] = source[i]
            places[digit] += 1
        source, target = target, source
        shift += RADIX_BITS
    column.entries = source
    column.capacity = column.count
    free(target)
    return 0


cdef void join_entries(Column *column) noexcept nogil:
    """Add up neighbours of one slot."""
    cdef size_t i, last = 0
    for i in range(1, column.count):
        if column.entries[i].slot == column.entries[last].slot:
            column.entries[last].count += column.entries[i].count
        else:
            last += 1
            column.entries[last] = column.entries[i]
    column.count = last + 1


# ------------------------------------------------------------------------------------------ life


cdef void windows_open(Windows *windows, bint hour, bint day, bint week) noexcept nogil:
    memset(windows, 0, sizeof(Windows))
    windows.keeps[0], windows.keeps[1], windows.keeps[2] = hour, day, week
    windows.increments[0], windows.increments[1], windows.increments[2] = hour, day, week
    windows.largest = 2 if week else 1 if day else 0
    windows.fine_ns = MINUTE_NS if hour else HOUR_NS if day or week else 0
    windows.hours_kept = 168 if week else 24 if day else 0


cdef void windows_close(Windows *windows) noexcept nogil:
    cdef int i
    for i in range(MINUTE_COLUMNS):
        column_clear(&windows.minutes[i])
    for i in range(HOUR_COLUMNS):
        column_clear(&windows.hours[i])
    free(windows.running)
    windows.running = NULL


cdef int windows_reserve(Windows *windows, size_t events, uint32_t row_count) noexcept nogil:
    """Make room for this many more events in the running bucket; 0, or -1 without memory."""
    cdef size_t capacity
    cdef uint32_t *running
    if windows.fine_ns == 0 or windows.running_count + events <= windows.running_capacity:
        return 0
    if windows.running_count > max(<size_t>RUNNING_MIN, 2 * <size_t>row_count):
        if fold_running(windows, row_count):
            return -1
    capacity = windows.running_count + events + windows.running_capacity // 2
    running = <uint32_t *>realloc(windows.running, capacity * sizeof(uint32_t))
    if running == NULL:
        return -1
    windows.running = running
    windows.running_capacity = capacity
    return 0


# ------------------------------------------------------------------------------------------ rotation


cdef int fold_running(Windows *windows, uint32_t row_count) noexcept nogil:
    """Move the list of the running bucket into its column; 0, or -1 without memory."""
    cdef size_t i
    cdef Column *column
    if windows.running_count == 0:
        return 0
    column = column_of(windows, 0 if windows.keeps[0] else 1, windows.rolled)
    if column.count + windows.running_count >= row_count // SPARSE_FACTOR:
        if gather(column, <const Column **>&column, 1, windows.running, windows.running_count, row_count):
            return -1
    else:  # few of many: a slot that stands twice costs less than sorting
        if column_reserve(column, windows.running_count, row_count):
            return -1
        for i in range(windows.running_count):
            push(column, windows.running[i], 1)
    windows.running_count = 0
    return 0


cdef int gather_hour(const Windows *windows, int64_t hour, Column *target, uint32_t row_count) noexcept nogil:
    """Make target the sum of the minutes of the clock's hour; 0, or -1 without memory."""
    cdef const Column *sources[MINUTES_PER_HOUR]
    cdef int64_t first = hour * MINUTES_PER_HOUR
    cdef int i, count = <int>(floor_divide(windows.clock, MINUTE_NS) - first + 1)
    for i in range(count):
        sources[i] = minute_column(<Windows *>windows, first + i)
    return sum_columns(target, sources, count, NULL, 0, row_count)


cdef int close_hour(Windows *windows, int64_t hour, uint32_t row_count) noexcept nogil:
    """Make the column of the clock's hour final, as the clock is about to leave it."""
    if windows.keeps[0]:
        return gather_hour(windows, hour, hour_column(windows, hour), row_count)
    return column_compact(hour_column(windows, hour), row_count)


cdef void apply_column(const Column *column, HotRecord *rows, int window, bint adds) noexcept nogil:
    cdef size_t i
    cdef uint32_t sign = 1 if adds else <uint32_t>-1  # unsigned: the product wraps to a subtraction
    for i in range(column.count):
        if i + AHEAD < column.count:
            prefetch(&rows[column.entries[i + AHEAD].slot])
        rows[column.entries[i].slot].windows[window] += sign * column.entries[i].count


cdef int roll_fine(Windows *windows, HotRecord *rows, uint32_t row_count, int64_t fine) noexcept nogil:
    cdef int window
    cdef int64_t i
    cdef Shift shift
    if fine == windows.rolled:
        return 0
    if fold_running(windows, row_count):
        return -1
    for window in range(3):
        if windows.keeps[window]:
            shift = shift_to(windows, window, fine * windows.fine_ns)
            for i in range(shift.columns):
                apply_column(column_in(windows, &shift, i), rows, window, shift.adds)
    windows.rolled = fine
    windows.running_start = fine * windows.fine_ns
    return 0


cdef int roll_to(Windows *windows, HotRecord *rows, uint32_t row_count, int64_t t) noexcept nogil:
    """Make the running counts those of time t, or of the clock if that is later; 0, or -1 without memory.

    The caller may have read the clock before events of another thread moved it.
    """
    if windows.fine_ns == 0 or not windows.started:
        return 0
    return roll_fine(windows, rows, row_count, floor_divide(max(t, windows.clock), windows.fine_ns))


cdef int advance_clock(Windows *windows, HotRecord *rows, uint32_t row_count, int64_t t) noexcept nogil:
    """Set the clock to t where that is later, and drop what left every window; 0, or -1 without memory."""
    cdef int64_t fine, past, hour, past_hour, bucket
    if windows.started and t <= windows.clock:
        return 0
    if windows.fine_ns == 0:
        windows.started, windows.clock = True, t
        return 0
    fine = floor_divide(t, windows.fine_ns)
    if not windows.started:
        windows.started, windows.clock = True, t
        windows.rolled, windows.running_start = fine, fine * windows.fine_ns
        return 0
    if fine > windows.rolled and roll_fine(windows, rows, row_count, fine):
        return -1
    past = floor_divide(windows.clock, windows.fine_ns)
    hour, past_hour = hour_of(windows, fine), hour_of(windows, past)
    # The minutes of an hour that ends are all there still.
    if windows.hours_kept and hour > past_hour and close_hour(windows, past_hour, row_count):
        return -1
    windows.clock = t
    if windows.keeps[0]:
        for bucket in range(past, min(fine, past + MINUTE_COLUMNS)):
            column_clear(minute_column(windows, bucket + 1))  # the slot of the minute an hour before
    if windows.hours_kept:
        for bucket in range(past_hour + 1, min(hour, past_hour + HOUR_COLUMNS) + 1):
            column_clear(hour_column(windows, bucket - windows.hours_kept))
    return 0


cdef void place_of(Windows *windows, int64_t t, Place *place) noexcept nogil:
    """Where events at time t count, t not after the clock, and for which times around it that holds."""
    cdef int64_t fine = fine_of(windows, t), hour = hour_of(windows, fine)
    cdef int64_t clock = fine_of(windows, windows.clock), newest = hour_of(windows, clock)
    cdef int64_t rolled_hour = hour_of(windows, windows.rolled)
    memset(place, 0, sizeof(Place))
    place.start = fine * windows.fine_ns
    place.end = place.start + windows.fine_ns
    if windows.keeps[0] and fine > clock - MINUTE_COLUMNS:
        place.minute = minute_column(windows, fine)
        place.counts[0] = fine > windows.rolled - SPAN[0]
    if windows.hours_kept and hour > newest - windows.hours_kept:
        if has_column(windows, hour):
            place.hour = hour_column(windows, hour)
        place.counts[1] = windows.keeps[1] and hour > rolled_hour - SPAN[1]
        place.counts[2] = windows.keeps[2] and hour > rolled_hour - SPAN[2]
        if windows.keeps[0] and place.minute == NULL:  # all of the hour that has no minutes any more
            place.start = hour * HOUR_NS
            place.end = min(place.start + HOUR_NS, (clock - MINUTE_COLUMNS + 1) * MINUTE_NS)
    elif place.minute == NULL:
        place.start = INT64_MIN


# ------------------------------------------------------------------------------------------ reading elsewhere


cdef Column *column_of(const Windows *windows, int window, int64_t bucket) noexcept nogil:
    return (minute_column(<Windows *>windows, bucket) if window == 0
            else hour_column(<Windows *>windows, bucket))


cdef bint has_column(const Windows *windows, int64_t hour) noexcept nogil:
    """Whether an hour has a column of its own: where minutes are kept, the clock's hour is in theirs."""
    return not windows.keeps[0] or hour < floor_divide(windows.clock, HOUR_NS)


cdef Shift shift_to(const Windows *windows, int window, int64_t t) noexcept nogil:
    """What separates a running count from the count at time t, or at the clock if that is later."""
    cdef Shift shift
    cdef int64_t span = SPAN[window]
    cdef int64_t target = floor_divide(max(t, windows.clock), windows.fine_ns), rolled = windows.rolled
    cdef int64_t clock = floor_divide(windows.clock, windows.fine_ns), newest = clock, oldest, high
    if window > 0:
        target, rolled = hour_of(windows, target), hour_of(windows, rolled)
        newest = hour_of(windows, newest)
        oldest = newest - windows.hours_kept
    else:
        oldest = newest - MINUTE_COLUMNS
    shift.window = window
    shift.adds = target < rolled
    shift.everything = target - span >= newest
    # Only the buckets in (oldest, newest] have columns.
    shift.first = max(min(target, rolled) - span, oldest) + 1
    high = min(max(target, rolled) - span, newest)
    shift.whole = max(high - shift.first + 1, 0)
    shift.columns = shift.whole
    if window > 0 and shift.whole and not has_column(windows, high):
        shift.whole -= 1
        shift.minute = high * MINUTES_PER_HOUR
        shift.columns = shift.whole + clock - shift.minute + 1
    return shift


cdef const Column *column_in(const Windows *windows, const Shift *shift, int64_t i) noexcept nogil:
    """The i-th of a shift's columns."""
    if i < shift.whole:
        return column_of(windows, shift.window, shift.first + i)
    return minute_column(<Windows *>windows, shift.minute + i - shift.whole)


cdef uint32_t shift_of_slot(const Windows *windows, const Shift *shift, uint32_t slot) noexcept nogil:
    """The events of one slot in a shift's columns."""
    cdef uint32_t total = 0
    cdef int64_t c
    cdef size_t i
    cdef const Column *column
    for c in range(shift.columns):
        column = column_in(windows, shift, c)
        for i in range(column.count):
            if column.entries[i].slot == slot:
                total += column.entries[i].count
    return total


cdef void shift_of_all(const Windows *windows, const Shift *shift, uint32_t *shifts_out) noexcept nogil:
    """Add the events of each slot in a shift's columns to shifts_out[slot]."""
    cdef int64_t c
    cdef size_t i
    cdef const Column *column
    for c in range(shift.columns):
        column = column_in(windows, shift, c)
        for i in range(column.count):
            shifts_out[column.entries[i].slot] += column.entries[i].count
