"""One shard of one signal type: records, index and window columns behind a lock, as Python sees them."""

from libc.math cimport INFINITY, fabs, isfinite
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from cpython.buffer cimport PyBuffer_FillInfo

import numpy as np

from tidal._ext.arena cimport arena_close, arena_ensure, arena_open
from tidal._ext.best cimport Best, close_best, offer, open_best, worst_value
from tidal._ext.bounds cimport (
    BLOCK_BITS, BY_COUNT, BY_SUM, BlockBound, close_bounds, covers, grow_bounds, look_at_all, look_at_block,
    look_at_marked,
)
from tidal._ext.decay cimport (
    SUMS_MAX, Reading, ShardState, add_to_sums, close_reading, find_or_insert, open_reader, open_reading,
    read_score, reading_of, turns,
)
from tidal._ext.index cimport index_close, index_ensure, index_open
from tidal._ext.layout cimport HotRecord, Reader, acquire, decay_of, unlock
from tidal._ext.saved cimport (
    RINGS, Copy, RingArrays, add_columns, arrays_of, has_room, make_room, take_copy,
)
from tidal._ext.saved import RECORD_DTYPE, RING_NAMES, check_columns, widened
from tidal._ext.window_columns cimport column_bytes
from tidal._ext.windows cimport advance_clock, roll_to, windows_close, windows_open


cdef class RecordView:
    """The records of a shard through the buffer protocol: no copy, read-only, live, and valid for ever."""

    cdef Shard shard
    cdef Py_ssize_t size

    def __cinit__(self, Shard shard not None):
        self.shard = shard
        self.size = shard.state.arena.count * sizeof(HotRecord)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        # Read-only: records change by events only.
        PyBuffer_FillInfo(buffer, self, self.shard.state.arena.rows, self.size, 1, flags)


cdef struct Slots:
    uint32_t first
    uint32_t stop


cdef inline Slots rows_of(const ShardState *state, uint32_t block) noexcept nogil:
    cdef Slots slots
    slots.first, slots.stop = block << BLOCK_BITS, min(state.arena.count, block + 1 << BLOCK_BITS)
    return slots


cdef inline Slots rows_behind(const ShardState *state, uint32_t blocks) noexcept nogil:
    """The rows that no block has: there is no memory for blocks, or they came just now."""
    cdef Slots slots
    slots.first, slots.stop = min(state.arena.count, blocks << BLOCK_BITS), state.arena.count
    return slots


cdef int open_two(Best *best, Best *likely, Py_ssize_t k, uint32_t rows) except -1:
    """Room for the k best records, and for the k blocks with the greatest bounds."""
    open_best(best, k, rows)
    try:
        open_best(likely, k, (rows >> BLOCK_BITS) + 1)
    except MemoryError:
        free(best.heap)
        raise
    return 0


cdef inline double surely_reached(const Best *likely, Py_ssize_t k) noexcept nogil:
    """What the k-th best record has at least, where each bound of a block is a record's."""
    return worst_value(likely) if likely.size == k else -INFINITY


cdef inline bint may_enter(const Best *best, double bound) noexcept nogil:
    """Whether a record of a block with this bound may be among the best."""
    return bound > 0 and (best.size < best.room or bound >= worst_value(best))


cdef inline bint comparable(const BlockBound *bound, const Reader *reader) noexcept nogil:
    """Whether all sums of a block are scaled to one landmark, and none is newer than what is read."""
    return reader.low <= bound.oldest and bound.newest < reader.high


cdef void offer_scores(
    const ShardState *state, Best *best, Slots slots, int position, int64_t t, const Reader *reader
) noexcept nogil:
    cdef const HotRecord *rows = state.arena.rows
    cdef double cutoff = -INFINITY  # a sum below it cannot be among the best: spares its division
    cdef uint32_t slot
    if best.size == best.room:
        cutoff = sum_below(best, reader)
    for slot in range(slots.first, slots.stop):
        if rows[slot].sums[position] < cutoff and reader.low <= rows[slot].last_time < reader.high:
            continue
        offer(best, rows[slot].entity_id, read_score(state, &rows[slot], position, t, reader))
        if best.size == best.room:
            cutoff = sum_below(best, reader)


cdef void offer_counts(
    const ShardState *state, Best *best, Slots slots, const Reading *reading
) noexcept nogil:
    cdef uint64_t count
    cdef uint32_t slot
    if reading.failed:
        return
    for slot in range(slots.first, slots.stop):
        count = reading_of(state, slot, reading)
        if count:
            offer(best, state.arena.rows[slot].entity_id, <double>count)


cdef double sum_below(const Best *best, const Reader *reader) noexcept nogil:
    """A sum that, read, is certainly worse than the worst of the best: their order is that of the scores."""
    cdef double value = below_roundings(worst_value(best) / reader.scale * reader.mantissa)
    return value if isfinite(value) else -INFINITY


cdef inline double below_roundings(double value) noexcept nogil:
    """A little less: by more than the roundings of this and of the reading of a sum together."""
    return value - fabs(value) * 1e-15


cdef class Shard:
    """Live state of the entities of one shard and signal type.

    Every method takes the lock for itself; times are ns. Events come in, and single entities are read,
    through the ShardSet.
    """

    def __cinit__(self, half_lives, bint hour, bint day, bint week):
        cdef int j
        if not 0 <= len(half_lives) <= SUMS_MAX:
            raise ValueError(f"{len(half_lives)} half-lives; at most {SUMS_MAX}")
        self.state = <ShardState *>calloc(1, sizeof(ShardState))
        if self.state == NULL or arena_open(&self.state.arena) or index_open(&self.state.index):
            raise MemoryError("no memory, or no address space, for a shard")
        windows_open(&self.state.windows, hour, day, week)
        self.state.newest = INT64_MIN
        self.state.sum_count = max(1, len(half_lives))
        for j in range(SUMS_MAX):
            self.state.decays[j] = decay_of(half_lives[j] if j < len(half_lives) else 0)

    def __dealloc__(self):
        if self.state != NULL:
            windows_close(&self.state.windows)
            close_bounds(&self.state.bounds)
            index_close(&self.state.index)
            arena_close(&self.state.arena)
            free(self.state)

    def roll(self, int64_t t):
        """Make the running counts those of time t (not before the clock), so that reads at t are one load."""
        cdef int failed
        cdef int64_t before
        with nogil:
            acquire(&self.state.lock)
            before = self.state.windows.rolled
            failed = roll_to(&self.state.windows, self.state.arena.rows, self.state.arena.count, t)
            if self.state.windows.rolled < before:  # counts rose, and no event marked their blocks
                look_at_all(&self.state.bounds, BY_COUNT)
            unlock(&self.state.lock)
        if failed:
            raise MemoryError("no memory to turn a window")

    # -------------------------------------------------------------------------------------- reading

    cdef void open_bounds(self) noexcept nogil:
        """Have blocks for all records that are there now. Without memory for them all records are read."""
        if not covers(&self.state.bounds, self.state.arena.count):
            acquire(&self.state.lock)
            acquire(&self.state.records)
            grow_bounds(&self.state.bounds, self.state.arena.count)
            unlock(&self.state.records)
            unlock(&self.state.lock)

    def top_scores(self, Py_ssize_t k, int position, int64_t t):
        """Return the ids (uint64) and scores (float64) of the k best entities, best first."""
        cdef Best best, likely
        cdef uint32_t block, blocks
        cdef const BlockBound *bounds
        cdef Reader reader
        cdef double floor
        open_two(&best, &likely, k, self.state.arena.count)
        with nogil:
            self.open_bounds()
            acquire(&self.state.records)
            reader = open_reader(self.state, position, t)
            blocks = look_at_marked(
                &self.state.bounds, BY_SUM, self.state.arena.rows, self.state.arena.count, self.state.events)
            bounds = self.state.bounds.blocks[BY_SUM]
            for block in range(blocks):
                if comparable(&bounds[block], &reader):
                    offer(&likely, block, bounds[block].largest[position])
            # Sums that differ by a rounding may read alike, and then the smaller id comes first.
            floor = below_roundings(surely_reached(&likely, k))
            for block in range(blocks):
                if not comparable(&bounds[block], &reader) or bounds[block].largest[position] >= floor:
                    offer_scores(self.state, &best, rows_of(self.state, block), position, t, &reader)
            offer_scores(self.state, &best, rows_behind(self.state, blocks), position, t, &reader)
            unlock(&self.state.records)
            free(likely.heap)
        return close_best(&best)

    def top_counts(self, Py_ssize_t k, int window, int64_t t, bint roll=False):
        """Return the ids (uint64) and counts (float64) of the k best entities with any, best first."""
        cdef Best best, likely
        cdef uint32_t block, blocks = 0
        cdef const BlockBound *bounds
        cdef Reading reading
        cdef double floor
        if roll and turns(self.state, t):
            self.roll(t)
        open_two(&best, &likely, k, self.state.arena.count)
        with nogil:
            self.open_bounds()
            acquire(&self.state.lock)
            open_reading(self.state, window, t, &reading)
            if not (reading.shifted and reading.shift.adds):
                blocks = look_at_marked(
                    &self.state.bounds, BY_COUNT, self.state.arena.rows, self.state.arena.count,
                    self.state.events)
            bounds = self.state.bounds.blocks[BY_COUNT]
            for block in range(blocks):
                offer(&likely, block, bounds[block].largest[window])
            floor = max(1.0, surely_reached(&likely, k))
            for block in range(blocks):  # those that are likely to have the best
                if bounds[block].largest[window] >= floor:
                    offer_counts(self.state, &best, rows_of(self.state, block), &reading)
            # Counts fall as time goes on, and bounds do not: only what was read is sure.
            for block in range(blocks):
                if bounds[block].largest[window] < floor and may_enter(&best, bounds[block].largest[window]):
                    look_at_block(
                        &self.state.bounds, BY_COUNT, self.state.arena.rows, self.state.arena.count, block)
                    if may_enter(&best, bounds[block].largest[window]):
                        offer_counts(self.state, &best, rows_of(self.state, block), &reading)
            offer_counts(self.state, &best, rows_behind(self.state, blocks), &reading)
            unlock(&self.state.lock)
            close_reading(&reading)
            free(likely.heap)
        result = close_best(&best)
        if reading.failed:
            raise MemoryError("no memory to read windows at another time")
        return result

    def records(self):
        """Return the hot records, structured array of RECORD_DTYPE: a live read-only view without a copy.

        Its length is the number of entities now; its values follow later events. Window counts in it are
        those of the bucket that the shard was last rolled to.
        """
        return np.frombuffer(RecordView(self), RECORD_DTYPE)

    cdef int check_rows(self, Py_ssize_t rows) except -1:
        if not 0 <= rows <= self.state.arena.count:
            raise ValueError(f"{rows} of {self.state.arena.count} records")
        return 0

    def scores(self, double[::1] out, int position, int64_t t):
        """Fill ``out`` with the scores of the first records, in the order of records()."""
        cdef Reader reader
        cdef Py_ssize_t slot, rows = out.shape[0]
        self.check_rows(rows)
        with nogil:
            acquire(&self.state.records)
            reader = open_reader(self.state, position, t)
            for slot in range(rows):
                out[slot] = read_score(self.state, &self.state.arena.rows[slot], position, t, &reader)
            unlock(&self.state.records)

    def counts(self, uint64_t[::1] out, int window, int64_t t, bint roll=False):
        """Fill ``out`` with the counts of the first records; window, t and roll as in top_counts()."""
        cdef Reading reading
        cdef Py_ssize_t slot, rows = out.shape[0]
        self.check_rows(rows)
        if roll and turns(self.state, t):
            self.roll(t)
        with nogil:
            acquire(&self.state.lock)
            open_reading(self.state, window, t, &reading)
            if not reading.failed:
                for slot in range(rows):
                    out[slot] = reading_of(self.state, <uint32_t>slot, &reading)
            unlock(&self.state.lock)
            close_reading(&reading)
        if reading.failed:
            raise MemoryError("no memory to read windows at another time")

    def __len__(self):
        return self.state.arena.count

    @property
    def clock(self):
        """The newest event time in ns, or None before the first event."""
        return self.state.windows.clock if self.state.windows.started else None

    def stats(self):
        """Return plain counters: entities, events, late, saturated, and bytes by part."""
        cdef int i
        cdef size_t columns = 0
        for i in range(60):
            columns += column_bytes(&self.state.windows.minutes[i])
        for i in range(168):
            columns += column_bytes(&self.state.windows.hours[i])
        return {
            "entities": self.state.arena.count,
            "events": self.state.events,
            "late": self.state.late,
            "saturated": self.state.saturated,
            "record_bytes": <size_t>self.state.arena.committed * sizeof(HotRecord),
            "index_bytes": <size_t>sizeof(uint64_t) << self.state.index.bits,
            "column_bytes": columns,
        }

    # -------------------------------------------------------------------------------------- saving

    def save(self, int64_t clock):
        """Return the state as plain arrays: of equal logs equal ones, but for the order of the records.

        A dict: entity_id uint64[n], last_time int64[n], sums float64[n, 3], total uint64[n], in the order in
        which the records were made; and for minutes and hours: ``*_bucket`` int64[c], ``*_end`` int64[c],
        ``*_slot`` uint32[m], ``*_count`` uint32[m], where column i is [end[i-1], end[i]) of the latter two,
        in slot order.
        """
        copy = ShardCopy(self)
        copy.take(clock)
        return widened(copy.arrays())

    def merge(self, dict saved, int64_t clock):
        """Add what another shard's save() returned; ``clock`` is the newest time of the type, both included.

        Into an empty shard this restores it exactly. The arrays are checked before anything changes.
        """
        cdef const uint64_t[::1] entity_ids = saved["entity_id"]
        cdef const int64_t[::1] times = saved["last_time"]
        cdef const double[:, ::1] sums = saved["sums"]
        cdef const uint64_t[::1] totals = saved["total"]
        cdef const int64_t[::1] buckets, ends
        cdef const uint32_t[::1] their_slots, counts
        cdef RingArrays[RINGS] rings
        cdef Py_ssize_t i, count = entity_ids.shape[0]
        cdef uint32_t[::1] slots = np.empty(count, np.uint32)
        cdef HotRecord *row
        cdef int ring, failed
        if not times.shape[0] == sums.shape[0] == totals.shape[0] == count or sums.shape[1] != SUMS_MAX:
            raise ValueError("record columns of different lengths")
        if count and int(np.max(saved["last_time"])) > clock:
            raise ValueError("a record is newer than the clock")
        memset(rings, 0, sizeof(rings))
        for ring in range(RINGS):
            name = RING_NAMES[ring]
            check_columns(saved, name, count, clock)
            buckets, ends = saved[f"{name}_bucket"], saved[f"{name}_end"]
            their_slots, counts = saved[f"{name}_slot"], saved[f"{name}_count"]
            if buckets.shape[0]:  # ``saved`` keeps the arrays alive
                rings[ring].columns = buckets.shape[0]
                rings[ring].buckets, rings[ring].ends = &buckets[0], &ends[0]
                rings[ring].slots, rings[ring].counts = &their_slots[0], &counts[0]
        if count == 0:
            return
        with nogil:
            acquire(&self.state.lock)
            failed = (index_ensure(&self.state.index, <uint64_t>self.state.arena.count + count,
                                   &self.state.records)
                      or arena_ensure(&self.state.arena, <size_t>self.state.arena.count + count)
                      or advance_clock(
                          &self.state.windows, self.state.arena.rows, self.state.arena.count, clock))
            acquire(&self.state.records)
            if not failed:
                for i in range(count):
                    slots[i] = find_or_insert(self.state, entity_ids[i], times[i])
                    row = &self.state.arena.rows[slots[i]]
                    if row.total:
                        add_to_sums(self.state, row, &sums[i, 0], times[i])
                    else:  # new here: to the bit, also a sum of -0.0, which an addition would lose
                        memcpy(row.sums, &sums[i, 0], sizeof(row.sums))
                    row.total += totals[i]
                    self.state.events += totals[i]
            unlock(&self.state.records)
            for ring in range(RINGS):
                failed = failed or add_columns(self.state, ring, &rings[ring], &slots[0])
            unlock(&self.state.lock)
        if failed:
            raise MemoryError("no memory to merge a shard")


cdef class ShardCopy:
    """A shard's state at one moment, in three steps, so that the shard is held for the shortest of them.

    Making it reserves the room, take() copies, and arrays() gives the copy the form of a file.
    """

    cdef Shard shard
    cdef Copy copy
    cdef object block

    def __cinit__(self, Shard shard not None):
        self.shard = shard
        self._make_room()

    cdef int _make_room(self) except -1:
        self.block = None  # and stays so without memory: the copy's pointers lead nowhere then
        self.block = make_room(self.shard.state, &self.copy)
        return 0

    def fit(self):
        """Make more room where the shard has outgrown it."""
        cdef bint fits = False
        if self.block is not None:
            with nogil:
                acquire(&self.shard.state.lock)
                fits = has_room(self.shard.state, &self.copy)
                unlock(&self.shard.state.lock)
        if not fits:
            self._make_room()

    @property
    def room(self):
        """Bytes of memory that were reserved."""
        return self.block.nbytes

    def take(self, int64_t clock):
        """Copy the state, its clock moved to this time."""
        cdef int failed = 1
        if self.block is None:
            self._make_room()
        while failed > 0:
            with nogil:
                acquire(&self.shard.state.lock)
                failed = take_copy(self.shard.state, clock, &self.copy)
                unlock(&self.shard.state.lock)
            if failed > 0:
                self._make_room()
        if failed:
            raise MemoryError("no memory to save a shard")

    def arrays(self):
        """Return the arrays that were taken, which saved.widened() makes those of Shard.save().

        O(n), and none of it under the shard's lock. They stay valid as long as anybody has them.
        """
        return arrays_of(&self.copy, self.block)
