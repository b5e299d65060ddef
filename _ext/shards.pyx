"""The shards of one signal type together: events are dealt out to them, and entities looked up in theirs."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np

from tidal._ext.decay cimport (
    CHUNK, Events, Reading, ShardState, close_reading, count_at, find_slot, ingest_chunk, open_reader,
    open_reading, read_score, reading_of, score_of, turns,
)
from tidal._ext.index cimport NOT_FOUND, mix
from tidal._ext.layout cimport HotRecord, Lock, Reader, acquire, prefetch, try_acquire, unlock
from tidal._ext.shard cimport Shard

cdef enum:
    LOOKED_UP = 64      # entities under one hold of the locks


# The low half of the hash; the index within a shard uses the high half.
cdef inline uint32_t shard_index(uint64_t entity_id, uint32_t shard_count) noexcept nogil:
    return <uint32_t>(<uint64_t><uint32_t>mix(entity_id) * shard_count >> 32)


def shards_of(const uint64_t[::1] entity_ids, uint32_t shard_count):
    """Return the shard of each id, uint8[n]: the same on every machine and in every version."""
    shards = np.empty(entity_ids.shape[0], np.uint8)
    cdef uint8_t[::1] out = shards
    cdef Py_ssize_t i
    if not 1 <= shard_count <= SHARDS_MAX:
        raise ValueError(f"{shard_count} shards; choose 1 to {SHARDS_MAX}")
    with nogil:
        for i in range(entity_ids.shape[0]):
            out[i] = <uint8_t>shard_index(entity_ids[i], shard_count)
    return shards


cdef void deal_out(Deal *deal, Events events, int64_t count, uint32_t shard_count) noexcept nogil:
    """Sort a block of events by shard, in order within each."""
    cdef int64_t[SHARDS_MAX + 1] next_place
    cdef int64_t i, place
    cdef uint32_t shard
    memset(deal.ends, 0, sizeof(deal.ends))
    for i in range(count):
        shard = shard_index(events.entity_ids[i], shard_count)
        deal.homes[i] = <uint8_t>shard
        deal.ends[shard] += 1
    next_place[0] = 0
    for shard in range(shard_count):
        next_place[shard + 1] = next_place[shard] + deal.ends[shard]
        deal.ends[shard] = next_place[shard + 1]
    for i in range(count):
        shard = deal.homes[i]
        place = next_place[shard]
        next_place[shard] += 1
        deal.entity_ids[place] = events.entity_ids[i]
        deal.weights[place] = events.weights[i]
        deal.times[place] = events.times[i]


cdef void acquire_politely(Lock *lock) noexcept:
    """Take a lock, and wait for it without the interpreter's: another thread may need that one.

    noexcept: a lock is memory of the shard's, and nothing here can raise.
    """
    if not try_acquire(lock):
        with nogil:
            acquire(lock)


cdef int ingest_into(ShardState *state, Events events, int64_t count) noexcept nogil:
    """Apply any number of events, a chunk at a time: others get the lock in between."""
    cdef int64_t size
    cdef int failed = 0
    while count > 0 and not failed:
        size = min(<int64_t>CHUNK, count)
        acquire(&state.lock)
        failed = ingest_chunk(state, events, size)
        unlock(&state.lock)
        events.entity_ids += size
        events.weights += size
        events.times += size
        count -= size
    return failed


cdef class ShardSet:
    """All shards of one signal type.

    Arrays must be contiguous and of the dtype named; times are ns. A MemoryError out of ingest() or add()
    leaves events half applied: the caller must not go on with these shards.
    """

    def __cinit__(self, list shards not None):
        cdef Shard shard
        if not 1 <= len(shards) <= SHARDS_MAX:
            raise ValueError(f"{len(shards)} shards; choose 1 to {SHARDS_MAX}")
        self.shards = list(shards)  # keeps the states alive
        self.count = len(shards)
        for i, shard in enumerate(shards):
            if shard is None:
                raise TypeError("None is not a shard")
            self.states[i] = shard.state

    # -------------------------------------------------------------------------------------- clock

    @property
    def clock(self):
        """The newest event time in ns, or None before the first event."""
        return self.newest if self.started else None

    def advance(self, int64_t t):
        """Return the clock, moved to t if that is later. A shard follows with its next event or save."""
        return self.move_clock(t)

    cdef int64_t not_before_clock(self, int64_t t) noexcept:
        return max(t, self.newest) if self.started else t

    cdef int64_t move_clock(self, int64_t t) noexcept:
        if not self.started or t > self.newest:
            self.newest = t
            self.started = True
        return self.newest

    # -------------------------------------------------------------------------------------- writing

    def ingest(self, const uint64_t[::1] entity_ids, const float[::1] weights, const int64_t[::1] times):
        """Apply events in order."""
        cdef Py_ssize_t count = entity_ids.shape[0], start, size
        cdef int64_t newest
        cdef Events events
        cdef Deal *deal = NULL
        cdef uint32_t first
        cdef int failed = 0
        if weights.shape[0] != count or times.shape[0] != count:
            raise ValueError("columns of different lengths")
        if count == 0:
            return
        newest = times[0]
        for start in range(1, count):
            newest = max(newest, times[start])
        start = 0
        self.move_clock(newest)
        if self.count > 1:
            deal = <Deal *>malloc(sizeof(Deal))
            if deal == NULL:
                raise MemoryError("no memory to deal out events")
        first = self.turn % self.count  # threads begin at different shards, so that they seldom meet
        self.turn += 1
        with nogil:
            while start < count and not failed:
                size = min(<Py_ssize_t>DEALT, count - start)
                events.entity_ids, events.weights = &entity_ids[start], &weights[start]
                events.times = &times[start]
                if deal == NULL:
                    failed = ingest_into(self.states[0], events, size)
                else:
                    deal_out(deal, events, size, self.count)
                    failed = self.ingest_dealt(deal, first)
                start += size
            free(deal)
        if failed:
            raise MemoryError("no memory to apply events")

    cdef int ingest_dealt(self, Deal *deal, uint32_t first) noexcept nogil:
        cdef Events events
        cdef uint32_t i, shard
        cdef int64_t begin
        for i in range(self.count):
            shard = (first + i) % self.count
            begin = deal.ends[shard - 1] if shard else 0
            events.entity_ids, events.weights = &deal.entity_ids[begin], &deal.weights[begin]
            events.times = &deal.times[begin]
            if ingest_into(self.states[shard], events, deal.ends[shard] - begin):
                return -1
        return 0

    def add(self, uint64_t entity_id, float weight, int64_t t):
        """Apply one event."""
        self.add_one(entity_id, weight, t)

    cdef int add_one(self, uint64_t entity_id, float weight, int64_t t) except -1:
        cdef Events events
        self.move_clock(t)
        events.entity_ids, events.weights, events.times = &entity_id, &weight, &t
        if ingest_into(self.states[shard_index(entity_id, self.count)], events, 1):
            raise MemoryError("no memory to apply an event")
        return 0

    # -------------------------------------------------------------------------------------- reading

    def score(self, uint64_t entity_id, int position, int64_t t):
        """Return the decayed score at time t, float; 0.0 for an unknown entity."""
        return self.score_one(entity_id, position, t)

    cdef double score_one(self, uint64_t entity_id, int position, int64_t t) noexcept:
        cdef ShardState *state = self.states[shard_index(entity_id, self.count)]
        cdef uint32_t slot
        cdef double score = 0.0
        acquire_politely(&state.records)
        slot = find_slot(state, entity_id)
        if slot != NOT_FOUND:
            score = score_of(state, &state.arena.rows[slot], position, t)
        unlock(&state.records)
        return score

    def scores(self, const uint64_t[::1] entity_ids, int position, int64_t t):
        """Return the score of each id, float64[n]."""
        scores = np.empty(entity_ids.shape[0], np.float64)
        cdef double[::1] out = scores
        cdef Py_ssize_t i, start = 0, stop, count = entity_ids.shape[0]
        cdef ShardState *states[LOOKED_UP]
        cdef uint32_t[LOOKED_UP] slots
        cdef HotRecord *row
        cdef Reader reader = open_reader(self.states[0], position, t)
        with nogil:
            while start < count:
                stop = min(start + LOOKED_UP, count)
                self.acquire_all()
                for i in range(start, stop):
                    states[i - start] = self.states[shard_index(entity_ids[i], self.count)]
                    slots[i - start] = find_slot(states[i - start], entity_ids[i])
                    if slots[i - start] != NOT_FOUND:
                        prefetch(&states[i - start].arena.rows[slots[i - start]])
                for i in range(start, stop):
                    out[i] = 0.0
                    if slots[i - start] != NOT_FOUND:
                        row = &states[i - start].arena.rows[slots[i - start]]
                        out[i] = read_score(states[i - start], row, position, t, &reader)
                self.unlock_all()
                start = stop
        return scores

    def count_of(self, uint64_t entity_id, int window, int64_t t, bint roll=False):
        """Return the events in window 0, 1, 2 (1h, 24h, 7d) at time t, or 3: of all time; int.

        ``roll``: t is now, so that turning the windows to it first will serve the next reads too.
        """
        return self.count_one(entity_id, window, t, roll)

    cdef uint64_t count_one(self, uint64_t entity_id, int window, int64_t t, bint roll) except? 0:
        cdef uint32_t home = shard_index(entity_id, self.count), slot
        cdef ShardState *state = self.states[home]
        cdef HotRecord row
        cdef uint64_t total = 0
        t = self.not_before_clock(t)
        if roll and turns(state, t):
            self.shards[home].roll(t)
        acquire_politely(&state.lock)
        slot = find_slot(state, entity_id)
        if slot != NOT_FOUND:
            row = state.arena.rows[slot]
            total = count_at(state, &row, slot, window, t)
        unlock(&state.lock)
        return total

    def counts(self, const uint64_t[::1] entity_ids, int window, int64_t t, bint roll=False):
        """Return the count of each id, uint64[n]; window, t and roll as in count_of()."""
        counts = np.zeros(entity_ids.shape[0], np.uint64)
        cdef uint64_t[::1] out = counts
        cdef Py_ssize_t i, count = entity_ids.shape[0]
        cdef uint32_t shard, slot
        cdef ShardState *state
        cdef Reading reading
        cdef bint failed = False
        t = self.not_before_clock(t)
        for shard in range(self.count):
            state = self.states[shard]
            if roll and turns(state, t):
                self.shards[shard].roll(t)
            with nogil:
                acquire(&state.lock)
                open_reading(state, window, t, &reading)
                failed = failed or reading.failed
                for i in range(count):
                    if not failed and shard_index(entity_ids[i], self.count) == shard:
                        slot = find_slot(state, entity_ids[i])
                        if slot != NOT_FOUND:
                            out[i] = reading_of(state, slot, &reading)
                unlock(&state.lock)
                close_reading(&reading)
        if failed:
            raise MemoryError("no memory to read windows at another time")
        return counts

    # Of the records; always in the same order, so that no two callers wait for each other.
    cdef void acquire_all(self) noexcept nogil:
        cdef uint32_t shard
        for shard in range(self.count):
            acquire(&self.states[shard].records)

    cdef void unlock_all(self) noexcept nogil:
        cdef uint32_t shard
        for shard in range(self.count):
            unlock(&self.states[shard].records)
