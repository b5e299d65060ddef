"""The state of a shard as plain arrays, and back.

Whoever holds a shard's lock must never wait for the interpreter's: a reader may hold that one while it waits
for the shard. So copies are made into memory of C's, and become arrays when the lock is free again.
"""

from libc.stdint cimport UINT32_MAX, int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

from tidal._ext.layout cimport HotRecord
from tidal._ext.windows cimport (
    HOUR_COLUMNS, MINUTE_COLUMNS, Column, advance_clock, column_append, column_clear, column_compact,
    floor_divide, fold_running, gather_hour, has_column, hour_column, hour_of, minute_column,
)

RECORD_BYTES = sizeof(HotRecord)
RECORD_DTYPE = np.dtype([
    ("entity_id", "<u8"), ("last_time", "<i8"), ("sums", "<f8", 3), ("total", "<u8"),
    ("windows", "<u4", 3), ("reserved", "<u4"),
])
assert RECORD_DTYPE.itemsize == RECORD_BYTES

RECORD_ARRAYS = ("entity_id", "last_time", "sums", "total")
RING_NAMES = ("minute", "hour")
RING_NS = {"minute": 60 * 10**9, "hour": 3600 * 10**9}


cdef Column *ring_column(ShardState *state, int ring, int64_t bucket) noexcept nogil:
    return hour_column(&state.windows, bucket) if ring else minute_column(&state.windows, bucket)


cdef int64_t ring_span(const ShardState *state, int ring) noexcept nogil:
    """The number of buckets that a ring keeps; 0 where no window needs it."""
    if ring:
        return state.windows.hours_kept
    return MINUTE_COLUMNS if state.windows.keeps[0] else 0


cdef int64_t ring_bucket(const ShardState *state, int ring, int64_t fine) noexcept nogil:
    return hour_of(&state.windows, fine) if ring else fine


# ---------------------------------------------------------------------------------------------- out


cdef int take_copy(ShardState *state, int64_t clock, Copy *copy) noexcept nogil:
    """Copy the state at this clock, its columns compacted; 0, or -1 without memory. The lock is held."""
    cdef int ring
    cdef size_t size = <size_t>state.arena.count * sizeof(HotRecord)
    memset(copy, 0, sizeof(Copy))
    if state.windows.started and advance_clock(&state.windows, state.arena.rows, state.arena.count, clock):
        return -1
    if fold_running(&state.windows, state.arena.count):
        return -1
    copy.rows = <HotRecord *>malloc(size + 1)
    if copy.rows == NULL:
        return -1
    copy.row_count = state.arena.count
    memcpy(copy.rows, state.arena.rows, size)
    for ring in range(RINGS):
        if copy_ring(state, ring, &copy.rings[ring]):
            return -1
    return 0


cdef int copy_ring(ShardState *state, int ring, RingCopy *copy) noexcept nogil:
    cdef int64_t newest, bucket, span = ring_span(state, ring), total = 0
    cdef Column running_hour
    cdef Column *column
    cdef int failed = 0
    if not state.windows.started or span == 0:
        return 0
    newest = ring_bucket(state, ring, floor_divide(state.windows.clock, state.windows.fine_ns))
    memset(&running_hour, 0, sizeof(Column))
    if ring and not has_column(&state.windows, newest):
        failed = gather_hour(&state.windows, newest, &running_hour, state.arena.count)
    for bucket in range(newest - span + 1, newest + 1):
        column = ring_column(state, ring, bucket)
        failed = failed or column_compact(column, state.arena.count)
        total += column.count
    copy.entries = <Entry *>malloc((total + running_hour.count) * sizeof(Entry) + 1)
    if failed or copy.entries == NULL:
        column_clear(&running_hour)
        return -1
    for bucket in range(newest - span + 1, newest + 1):
        copy_column(copy, bucket, ring_column(state, ring, bucket))
    copy_column(copy, newest, &running_hour)
    column_clear(&running_hour)
    return 0


cdef void copy_column(RingCopy *copy, int64_t bucket, const Column *column) noexcept nogil:
    cdef int64_t start = copy.ends[copy.columns - 1] if copy.columns else 0
    if column.count:
        memcpy(&copy.entries[start], column.entries, column.count * sizeof(Entry))
        copy.buckets[copy.columns] = bucket
        copy.ends[copy.columns] = start + column.count
        copy.columns += 1


cdef void free_copy(Copy *copy) noexcept nogil:
    cdef int ring
    free(copy.rows)
    for ring in range(RINGS):
        free(copy.rings[ring].entries)


cdef dict arrays_of(const Copy *copy):
    """Return a copy as arrays of their own; see Shard.save() for their meaning."""
    cdef int ring
    cdef const RingCopy *columns
    rows = array_of(copy.rows, copy.row_count * sizeof(HotRecord)).view(RECORD_DTYPE)
    saved = {name: np.ascontiguousarray(rows[name]) for name in RECORD_ARRAYS}
    for ring in range(RINGS):
        columns = &copy.rings[ring]
        name = RING_NAMES[ring]
        ends = array_of(columns.ends, columns.columns * sizeof(int64_t)).view(np.int64)
        size = int(ends[len(ends) - 1]) * sizeof(Entry) if len(ends) else 0
        entries = array_of(columns.entries, size).view(np.uint32).reshape(-1, 2)
        saved[f"{name}_bucket"] = array_of(columns.buckets, columns.columns * sizeof(int64_t)).view(np.int64)
        saved[f"{name}_end"] = ends
        saved[f"{name}_slot"] = np.ascontiguousarray(entries[:, 0])
        saved[f"{name}_count"] = np.ascontiguousarray(entries[:, 1])
    return saved


cdef array_of(const void *data, size_t size):
    """Return a copy of some bytes, uint8[size]."""
    array = np.empty(size, np.uint8)
    cdef unsigned char[::1] out = array
    if size:
        memcpy(&out[0], data, size)
    return array


# ---------------------------------------------------------------------------------------------- in


cdef int add_columns(
    ShardState *state, int ring, const RingArrays *theirs, const uint32_t *slots
) noexcept nogil:
    """Add another shard's columns, whose row i is slots[i] here; 0, or -1 without memory. Under the lock."""
    cdef int64_t newest, rolled, bucket, i, start = 0
    cdef Py_ssize_t c
    if state.windows.fine_ns == 0:
        return 0
    newest = ring_bucket(state, ring, floor_divide(state.windows.clock, state.windows.fine_ns))
    rolled = ring_bucket(state, ring, state.windows.rolled)
    for c in range(theirs.columns):
        bucket = theirs.buckets[c]
        if bucket > newest - ring_span(state, ring):
            for i in range(start, theirs.ends[c]):
                if add_entry(state, ring, bucket, rolled, slots[theirs.slots[i]], theirs.counts[i]):
                    return -1
        start = theirs.ends[c]
    return 0


cdef int add_entry(
    ShardState *state, int ring, int64_t bucket, int64_t rolled, uint32_t slot, uint32_t count
) noexcept nogil:
    cdef HotRecord *row = &state.arena.rows[slot]
    cdef uint32_t room = UINT32_MAX - row.windows[state.windows.largest if ring else 0]
    if count > room:  # as when events come in: what a record cannot hold enters no column, and is counted
        state.saturated += count - room
        count = room
    if count and (ring == 0 or has_column(&state.windows, bucket)):
        if column_append(ring_column(state, ring, bucket), slot, count, state.arena.count):
            return -1
    if ring == 0:
        row.windows[0] += count if bucket > rolled - MINUTE_COLUMNS else 0
    else:
        row.windows[1] += count if state.windows.keeps[1] and bucket > rolled - 24 else 0
        row.windows[2] += count if state.windows.keeps[2] and bucket > rolled - HOUR_COLUMNS else 0
    return 0


def check_columns(dict saved, str ring, Py_ssize_t row_count, int64_t clock):
    """Raise ValueError unless the columns of one ring are well formed, not after the clock, of good rows."""
    buckets, ends = saved[f"{ring}_bucket"], saved[f"{ring}_end"]
    slots, counts = saved[f"{ring}_slot"], saved[f"{ring}_count"]
    if len(buckets) != len(ends) or len(slots) != len(counts):
        raise ValueError(f"{ring} columns of different lengths")
    if (int(ends[len(ends) - 1]) if len(ends) else 0) != len(slots) or np.any(np.diff(ends, prepend=0) <= 0):
        raise ValueError(f"{ring} columns do not add up")
    if len(buckets) and int(buckets[len(buckets) - 1]) > floor_divide(clock, RING_NS[ring]):
        raise ValueError(f"a {ring} bucket is newer than the clock")
    if np.any(np.diff(buckets) <= 0):
        raise ValueError(f"{ring} buckets are out of order")
    if len(slots) and int(slots.max()) >= row_count:
        raise ValueError(f"a {ring} column names a row that is not there")
