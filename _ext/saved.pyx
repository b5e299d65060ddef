"""The state of a shard as plain arrays, and back.

Whoever holds a shard's lock must never wait for the interpreter's: a reader may hold that one while it waits
for the shard. So the room for a copy is made before, the columns of windows are added up and sorted after,
and what is done under the lock is plain copying.
"""

from libc.stdint cimport UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from tidal._ext.decay cimport SUMS_MAX
from tidal._ext.layout cimport HotRecord, acquire, unlock
from tidal._ext.window_columns cimport column_append, column_clear, is_compact, is_empty, sum_columns
from tidal._ext.windows cimport (
    MINUTE_COLUMNS, MINUTES_PER_HOUR, advance_clock, floor_divide, has_column, hour_column, hour_of,
    minute_column,
)

cdef enum:
    PAGE_BYTES = 4096
    SPARE = 256             # events, and so new entities, that may come between making room and copying

RECORD_BYTES = sizeof(HotRecord)
RECORD_DTYPE = np.dtype([
    ("entity_id", "<u8"), ("last_time", "<i8"), ("sums", "<f8", 3), ("total", "<u8"),
    ("windows", "<u4", 3), ("reserved", "<u4"),
])
assert RECORD_DTYPE.itemsize == RECORD_BYTES

RECORD_ARRAYS = ("entity_id", "last_time", "sums", "total")
RING_NAMES = ("minute", "hour")
NARROWED = {
    "total": np.dtype(np.uint64),
    **{f"{ring}_{part}": np.dtype(np.uint32) for ring in RING_NAMES for part in ("slot", "count")},
}
RING_NS = {"minute": 60 * 10**9, "hour": 3600 * 10**9}


cdef Column *ring_column(ShardState *state, int ring, int64_t bucket) noexcept nogil:
    return hour_column(&state.windows, bucket) if ring else minute_column(&state.windows, bucket)


cdef int64_t ring_span(const ShardState *state, int ring) noexcept nogil:
    """The number of buckets that a ring keeps; 0 where no window needs it."""
    if ring:
        return state.windows.hours_kept
    return MINUTE_COLUMNS if state.windows.keeps[0] else 0


cdef int64_t ring_places(const ShardState *state, int ring) noexcept nogil:
    """The number of columns that a ring has a place for; 0 where no window needs it.

    Of hours there are as many places where fewer are kept.
    """
    return HOUR_COLUMNS if ring and state.windows.hours_kept else ring_span(state, ring)


cdef int64_t ring_bucket(const ShardState *state, int ring, int64_t fine) noexcept nogil:
    return hour_of(&state.windows, fine) if ring else fine


# ---------------------------------------------------------------------------------------------- out


cdef object make_room(ShardState *state, Copy *copy):
    """Return a block of memory, uint8[n], in which the state as it is now fits, and a quarter more.

    What is needed now was touched, so that copying into it under the lock need not wait for pages.
    """
    cdef Copy now
    cdef size_t cells
    with nogil:
        acquire(&state.lock)
        measure(state, &now)
        unlock(&state.lock)
    copy.sum_count = state.sum_count
    copy.rows_room = now.rows_room + now.rows_room // 4 + SPARE
    copy.slots_room = now.slots_room + now.slots_room // 4 + SPARE
    # Compacting may turn slots into entries meanwhile.
    copy.entries_room = now.entries_room + now.entries_room // 4 + copy.slots_room
    cells = copy.rows_room * (3 + copy.sum_count)
    block = np.empty(
        cells * sizeof(uint64_t) + copy.entries_room * sizeof(Entry) + copy.slots_room * sizeof(uint32_t),
        np.uint8)
    cdef unsigned char[::1] data = block
    copy.entity_ids = <uint64_t *>&data[0]
    copy.last_times = <int64_t *>(copy.entity_ids + copy.rows_room)
    copy.totals = <uint64_t *>(copy.last_times + copy.rows_room)
    copy.sums = <double *>(copy.totals + copy.rows_room)
    copy.entries = <Entry *>(copy.sums + copy.rows_room * copy.sum_count)
    copy.slots = <uint32_t *>(copy.entries + copy.entries_room)
    with nogil:
        touch(copy.entity_ids, now.rows_room * sizeof(uint64_t))
        touch(copy.last_times, now.rows_room * sizeof(int64_t))
        touch(copy.totals, now.rows_room * sizeof(uint64_t))
        touch(copy.sums, now.rows_room * copy.sum_count * sizeof(double))
        touch(copy.entries, now.entries_room * sizeof(Entry))
        touch(copy.slots, now.slots_room * sizeof(uint32_t))
    return block


cdef void measure(ShardState *state, Copy *now) noexcept nogil:
    """Set the room that a copy takes now. The lock is held."""
    cdef int ring
    cdef int64_t bucket
    cdef const Column *column
    now.rows_room, now.slots_room, now.entries_room = state.arena.count, 0, 0
    for ring in range(RINGS):
        for bucket in range(ring_places(state, ring)):  # any of as many neighbours: each has its place
            column = ring_column(state, ring, bucket)
            now.slots_room += column.slot_count
            now.entries_room += column.count


cdef bint has_room(ShardState *state, const Copy *copy) noexcept nogil:
    """Whether a copy would fit now. The lock is held."""
    cdef Copy now
    measure(state, &now)
    return (now.rows_room <= copy.rows_room and now.slots_room <= copy.slots_room
            and now.entries_room <= copy.entries_room)


cdef void touch(void *memory, size_t size) noexcept nogil:
    cdef size_t i
    for i in range((size + PAGE_BYTES - 1) // PAGE_BYTES):
        (<unsigned char *>memory)[i * PAGE_BYTES] = 0


cdef int take_copy(ShardState *state, int64_t clock, Copy *copy) noexcept nogil:
    """Copy the state at this clock. 0, -1 without memory, or 1 where there is not enough room. The lock is
    held, so this does nothing that can be done later.
    """
    cdef int ring
    cdef Column free = [copy.slots, 0, 0, copy.entries, 0, 0, 0]
    if state.windows.started and advance_clock(&state.windows, state.arena.rows, state.arena.count, clock):
        return -1
    if not has_room(state, copy):
        return 1
    copy.hour_in_minutes = state.windows.keeps[0] and state.windows.hours_kept
    for ring in range(RINGS):
        copy_ring(state, ring, copy, &free)
    copy_rows(state, copy)
    return 0


cdef void copy_ring(ShardState *state, int ring, Copy *copy, Column *free) noexcept nogil:
    """Copy the columns of a ring to where there is room for slots and entries, and move that on."""
    cdef RingCopy *into = &copy.rings[ring]
    cdef int64_t bucket, span = ring_span(state, ring)
    cdef const Column *column
    cdef Column *copied
    into.columns = 0
    if not state.windows.started or span == 0:
        return
    into.newest = ring_bucket(state, ring, floor_divide(state.windows.clock, state.windows.fine_ns))
    for bucket in range(into.newest - span + 1, into.newest + 1):
        column = ring_column(state, ring, bucket)
        if is_empty(column) and bucket < into.newest:
            continue
        into.buckets[into.columns] = bucket
        copied = &into.copied[into.columns]
        into.columns += 1
        copied[0] = column[0]
        copied.slots, copied.entries = free.slots, free.entries
        if column.slot_count:
            memcpy(copied.slots, column.slots, column.slot_count * sizeof(uint32_t))
        if column.count:
            memcpy(copied.entries, column.entries, column.count * sizeof(Entry))
        free.slots += column.slot_count
        free.entries += column.count


cdef void copy_rows(const ShardState *state, Copy *copy) noexcept nogil:
    cdef const HotRecord *row
    cdef size_t slot
    cdef int j, sum_count = copy.sum_count
    cdef double *sums = copy.sums
    copy.row_count = state.arena.count
    for slot in range(copy.row_count):
        row = &state.arena.rows[slot]
        copy.entity_ids[slot] = row.entity_id
        copy.last_times[slot] = row.last_time
        copy.totals[slot] = row.total
        for j in range(sum_count):
            sums[j] = row.sums[j]
        sums += sum_count


cdef dict arrays_of(const Copy *copy, block):
    """Return a copy as arrays in the form of a file: those of Shard.save(), but whole numbers in the fewest
    bytes that hold them, and no sums of half-lives that there are not. Some are views of the block.
    """
    cdef int ring
    scratch = np.empty(max(ring_room(copy, 0), ring_room(copy, 1)), np.uint32)
    rows = copy.row_count
    ids, times, totals, sums = (
        block[offset:offset + rows * width].view(dtype)
        for offset, width, dtype in zip(
            np.cumsum([0, *[copy.rows_room * sizeof(uint64_t)] * 3]).tolist(),
            (8, 8, 8, 8 * copy.sum_count), (np.uint64, np.int64, np.uint64, np.float64))
    )
    saved = {
        "entity_id": ids, "last_time": times, "sums": sums.reshape(rows, copy.sum_count),
        "total": narrow(totals),
    }
    for ring in range(RINGS):
        saved |= ring_arrays(copy, ring, scratch)
    return saved


cdef dict ring_arrays(const Copy *copy, int ring, counts):
    """Return the columns of a ring, each with one entry a slot, in slot order; ``counts`` is scratch."""
    cdef size_t size = 0
    slots = np.empty(ring_room(copy, ring), np.uint32)
    cdef uint32_t[::1] slots_out = slots, counts_out = counts
    cdef Column joined
    cdef const Column *column
    cdef int c, failed = 0
    name, buckets, ends = RING_NAMES[ring], [], []
    memset(&joined, 0, sizeof(Column))
    for c in range(copy.rings[ring].columns):
        with nogil:
            column = settled(copy, ring, c, &joined)
            failed = column == NULL
            if not failed and column.count:
                split(column, &slots_out[size], &counts_out[size])
        if failed:
            column_clear(&joined)
            raise MemoryError("no memory to add up the columns of a copy")
        if column.count:
            size += column.count
            buckets.append(copy.rings[ring].buckets[c])
            ends.append(size)
    column_clear(&joined)
    return {
        f"{name}_bucket": np.array(buckets, np.int64), f"{name}_end": np.array(ends, np.int64),
        f"{name}_slot": narrow(slots[:size]), f"{name}_count": narrow(counts[:size]).copy(),
    }


cdef object narrow(array):
    return array.astype(np.min_scalar_type(int(array.max(initial=0))), copy=False)


cdef size_t ring_room(const Copy *copy, int ring) noexcept nogil:
    """The most entries that the columns of a ring have together."""
    cdef size_t room = 0
    cdef int c
    for c in range(copy.rings[ring].columns):
        room += copy.rings[ring].copied[c].slot_count + copy.rings[ring].copied[c].count
    if ring and copy.hour_in_minutes:
        room += copy.row_count
    return room


cdef const Column *settled(const Copy *copy, int ring, int c, Column *joined) noexcept nogil:
    """A column of a copy with one entry a slot, in slot order: itself, or ``joined``; NULL without memory."""
    cdef const RingCopy *columns = &copy.rings[ring]
    cdef const Column *sources[MINUTE_COLUMNS]
    cdef int64_t bucket = columns.buckets[c]
    cdef int count = 1, m
    sources[0] = &columns.copied[c]
    if ring and copy.hour_in_minutes and bucket == columns.newest:
        count = 0
        for m in range(copy.rings[0].columns):
            if copy.rings[0].buckets[m] >= bucket * MINUTES_PER_HOUR:
                sources[count] = &copy.rings[0].copied[m]
                count += 1
    if count == 1 and is_compact(sources[0]):
        return sources[0]
    if sum_columns(joined, sources, count, <uint32_t>copy.row_count):
        return NULL
    return joined


cdef void split(const Column *column, uint32_t *slots_out, uint32_t *counts_out) noexcept nogil:
    cdef size_t i
    for i in range(column.count):
        slots_out[i] = column.entries[i].slot
        counts_out[i] = column.entries[i].count


# ---------------------------------------------------------------------------------------------- in


def widened(dict saved):
    """Return a shard's state as Shard.merge() takes it, from what ShardCopy.arrays() returned.

    ValueError where an array of whole numbers has another kind of them.
    """
    wide = saved | {name: widen(name, saved[name], dtype) for name, dtype in NARROWED.items()}
    sums = saved["sums"]
    if sums.ndim == 2 and sums.shape[1] < SUMS_MAX:
        wide["sums"] = np.zeros((len(sums), SUMS_MAX))
        wide["sums"][:, :sums.shape[1]] = sums
    return wide


cdef object widen(str name, array, dtype):
    if array.dtype.kind != "u" or array.dtype.itemsize > dtype.itemsize:
        raise ValueError(f"{name} of dtype {array.dtype}")
    return array.astype(dtype, copy=False)


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
