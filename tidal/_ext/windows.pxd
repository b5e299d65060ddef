"""Window counts of one shard: time-major columns behind the running counts in the hot records.

Words: the *fine* bucket is the minute where the 1h window is kept, else the hour. The *clock* is the
newest event time. The running counts in the records are those of the fine bucket ``rolled``, which a read
may have moved past the clock; columns stay until the clock passes them, so any later read can be answered
too.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from tidal._ext.layout cimport HotRecord
from tidal._ext.window_columns cimport Column

cdef enum:
    MINUTE_COLUMNS = 60
    HOUR_COLUMNS = 168
    MINUTES_PER_HOUR = 60
    COUNTED = 256       # events that count_events() takes at most

cdef struct Windows:
    bint keeps[3]               # 1h, 24h, 7d
    uint32_t largest            # position of the longest window kept: no other count exceeds its count
    int64_t fine_ns             # length of a fine bucket; 0 where no window is kept
    int64_t hours_kept          # 0, 24 or 168
    bint started                # whether there was an event
    int64_t clock               # ns, newest event time
    int64_t rolled              # fine bucket of the running counts, at or after that of the clock
    int64_t running_start       # ns where that bucket starts: events from here on take the fast path
    size_t room                 # for how many events a bucket's column gets room; 0: not known
    Column minutes[MINUTE_COLUMNS]
    Column hours[HOUR_COLUMNS]  # where minutes are kept, the clock's hour is in their columns alone

# Where an event counts: the same for all times in [start, end) that are not after the clock.
cdef struct Place:
    int64_t start           # INT64_MIN: in no window, nor does anything before `end`
    int64_t end
    Column *minute          # NULL: none; of the running bucket the fine one's, which may be an hour
    Column *hour
    uint32_t[4] counts      # what it adds to each running count, and 0

# What must be added to or taken from a running count to read it at another time.
cdef struct Shift:
    bint everything     # all counts are zero there
    bint adds           # add what the columns hold, instead of subtracting
    int window
    int64_t columns     # how many; see column_in()
    int64_t whole       # of them, columns of the window's own buckets, from `first` on
    int64_t first
    int64_t minute      # where the others begin: minutes of the clock's hour

cdef void windows_open(Windows *windows, bint hour, bint day, bint week) noexcept nogil
cdef void windows_close(Windows *windows) noexcept nogil
cdef int windows_reserve(Windows *windows, size_t events, int64_t latest, uint32_t row_count) noexcept nogil
cdef int advance_clock(Windows *windows, HotRecord *rows, uint32_t row_count, int64_t t) noexcept nogil
cdef int roll_to(Windows *windows, HotRecord *rows, uint32_t row_count, int64_t t) noexcept nogil
cdef bint place_of(Windows *windows, int64_t earliest, int64_t latest, Place *place) noexcept nogil
cdef int add_at(
    const Place *place, const uint32_t *slots, int64_t count, size_t room, uint32_t row_count) noexcept nogil
cdef int count_events(
    Windows *windows, HotRecord *rows, uint32_t row_count, const uint32_t *slots, const int64_t *times,
    int64_t count, Place *place) noexcept nogil
cdef Shift shift_to(const Windows *windows, int window, int64_t t) noexcept nogil
cdef uint32_t shift_of_slot(const Windows *windows, const Shift *shift, uint32_t slot) noexcept nogil
cdef void shift_of_all(const Windows *windows, const Shift *shift, uint32_t *shifts_out) noexcept nogil
cdef bint has_column(const Windows *windows, int64_t hour) noexcept nogil
cdef int64_t floor_divide(int64_t value, int64_t divisor) noexcept nogil
cdef Column *minute_column(Windows *windows, int64_t minute) noexcept nogil
cdef Column *hour_column(Windows *windows, int64_t hour) noexcept nogil
cdef int64_t hour_of(const Windows *windows, int64_t fine) noexcept nogil
