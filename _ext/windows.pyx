"""Folding, expiry and rotation of window columns.

Each event leaves its slot in the column of its bucket. When the running bucket turns, its column is made
compact (but while a history is applied), without a visit to any record; the columns that leave a window are
subtracted from the running counts. An hour is gathered from its minutes when it is over. So a read is one
load, rotation costs the touched entities only, and memory follows activity.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t
from libc.string cimport memset

from tidal._ext.layout cimport HotRecord, add_counts, prefetch
from tidal._ext.window_columns cimport (
    Column, column_add, column_clear, column_compact, column_reserve, column_settle, sum_columns,
)

cdef enum:
    AHEAD = 16                  # rows to prefetch before they are touched

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


cdef Column *running_column(Windows *windows) noexcept nogil:
    """The column of the bucket that is ``rolled``; where the clock has not reached that, of one long past."""
    return column_of(windows, 0 if windows.keeps[0] else 1, windows.rolled)


cdef inline int64_t fine_of(const Windows *windows, int64_t t) noexcept nogil:
    """The fine bucket that holds a time."""
    return floor_divide(t, MINUTE_NS) if windows.keeps[0] else floor_divide(t, HOUR_NS)


cdef int64_t hour_of(const Windows *windows, int64_t fine) noexcept nogil:
    """The hour that holds a fine bucket."""
    return floor_divide(fine, MINUTES_PER_HOUR) if windows.keeps[0] else fine


# ------------------------------------------------------------------------------------------ life


cdef void windows_open(Windows *windows, bint hour, bint day, bint week) noexcept nogil:
    memset(windows, 0, sizeof(Windows))
    windows.keeps[0], windows.keeps[1], windows.keeps[2] = hour, day, week
    windows.largest = 2 if week else 1 if day else 0
    windows.fine_ns = MINUTE_NS if hour else HOUR_NS if day or week else 0
    windows.hours_kept = 168 if week else 24 if day else 0


cdef void windows_close(Windows *windows) noexcept nogil:
    cdef int i
    for i in range(MINUTE_COLUMNS):
        column_clear(&windows.minutes[i])
    for i in range(HOUR_COLUMNS):
        column_clear(&windows.hours[i])


cdef int windows_reserve(Windows *windows, size_t events, int64_t latest, uint32_t row_count) noexcept nogil:
    """Make room in the running bucket for so many events, the last of this time; 0, or -1 without memory."""
    if windows.fine_ns == 0 or latest < windows.running_start:
        return 0
    return column_reserve(running_column(windows), events, 0, windows.room, row_count)


# ------------------------------------------------------------------------------------------ rotation


cdef int gather_hour(const Windows *windows, int64_t hour, Column *target, uint32_t row_count) noexcept nogil:
    """Make target the sum of the minutes of the clock's hour; 0, or -1 without memory."""
    cdef const Column *sources[MINUTES_PER_HOUR]
    cdef int64_t first = hour * MINUTES_PER_HOUR
    cdef int i, count = <int>(floor_divide(windows.clock, MINUTE_NS) - first + 1)
    for i in range(count):
        sources[i] = minute_column(<Windows *>windows, first + i)
    return sum_columns(target, sources, count, row_count)


cdef int close_hour(Windows *windows, int64_t hour, uint32_t row_count) noexcept nogil:
    """Make the column of the clock's hour final, as the clock is about to leave it."""
    if windows.keeps[0]:
        return gather_hour(windows, hour, hour_column(windows, hour), row_count)
    return column_compact(hour_column(windows, hour), row_count)


cdef void apply_column(const Column *column, HotRecord *rows, int window, bint adds) noexcept nogil:
    cdef size_t i
    cdef uint32_t sign = 1 if adds else <uint32_t>-1  # unsigned: the product wraps to a subtraction
    for i in range(column.slot_count):
        if i + AHEAD < column.slot_count:
            prefetch(&rows[column.slots[i + AHEAD]])
        rows[column.slots[i]].windows[window] += sign
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
    # In a history that is applied at once most buckets are over as they begin: all stay loose, until their
    # hour is gathered, or they leave the last window.
    if windows.room == 0 and column_settle(running_column(windows), row_count):
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


# ------------------------------------------------------------------------------------------ counting


cdef bint place_of(Windows *windows, int64_t earliest, int64_t latest, Place *place) noexcept nogil:
    """Where events of these times count, none of them after the clock; false where that is not one place."""
    cdef int i
    memset(place, 0, sizeof(Place))
    if windows.fine_ns == 0:
        place.start, place.end = INT64_MIN, INT64_MAX
    elif earliest >= windows.running_start:
        place.start, place.end = windows.running_start, INT64_MAX
        place.minute = running_column(windows)
        for i in range(3):
            place.counts[i] = windows.keeps[i]
    else:
        past_place(windows, earliest, place)
    return latest < place.end


cdef void past_place(Windows *windows, int64_t t, Place *place) noexcept nogil:
    """Where events at time t count, a time before the running bucket."""
    cdef int64_t fine = fine_of(windows, t), hour = hour_of(windows, fine)
    cdef int64_t clock = fine_of(windows, windows.clock), newest = hour_of(windows, clock)
    cdef int64_t rolled_hour = hour_of(windows, windows.rolled)
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


cdef int add_at(
    const Place *place, const uint32_t *slots, int64_t count, size_t room, uint32_t row_count
) noexcept nogil:
    """Add events to the columns of a place; 0, or -1 without memory for some."""
    if place.minute != NULL and column_add(place.minute, slots, count, room, row_count):
        return -1
    if place.hour != NULL and column_add(place.hour, slots, count, room, row_count):
        return -1
    return 0


cdef int count_events(
    Windows *windows, HotRecord *rows, uint32_t row_count, const uint32_t *slots, const int64_t *times,
    int64_t count, Place *place
) noexcept nogil:
    """Count COUNTED events at most, none of which is after the clock; 0, or -1 without memory for some.

    Those of the running bucket go first; then the older ones, by runs of one place. ``place`` is where the
    one before them counted, or has an empty range.
    """
    cdef uint32_t[COUNTED] now
    cdef uint32_t[COUNTED] past
    cdef int64_t[COUNTED] past_times
    cdef int64_t i, start, stop = 0, now_count = 0, past_count = 0
    cdef int failed = 0
    for i in range(count):
        now[now_count] = past[past_count] = slots[i]
        past_times[past_count] = times[i]
        now_count += times[i] >= windows.running_start
        past_count += times[i] < windows.running_start
    if now_count:
        place_of(windows, windows.running_start, windows.running_start, place)
        failed = count_at_place(windows, rows, row_count, now, now_count, place)
    while stop < past_count:
        start = stop
        if not place.start <= past_times[start] < place.end:
            place_of(windows, past_times[start], past_times[start], place)
        while stop < past_count and place.start <= past_times[stop] < place.end:
            stop += 1
        failed = count_at_place(windows, rows, row_count, &past[start], stop - start, place) or failed
    return failed


cdef int count_at_place(
    const Windows *windows, HotRecord *rows, uint32_t row_count, const uint32_t *slots, int64_t count,
    const Place *place
) noexcept nogil:
    cdef int64_t i
    if add_at(place, slots, count, windows.room, row_count):
        return -1
    for i in range(count):
        add_counts(&rows[slots[i]], place.counts)
    return 0


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
        for i in range(column.slot_count):
            total += column.slots[i] == slot
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
        for i in range(column.slot_count):
            shifts_out[column.slots[i]] += 1
        for i in range(column.count):
            shifts_out[column.entries[i].slot] += column.entries[i].count
