"""The shards of one signal type together: events are dealt out to them, and entities looked up in theirs."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np

from tidal._ext.decay cimport (
    CHUNK, Events, Reading, ShardState, close_reading, count_at, find_slot, ingest_chunk, open_reader,
    open_reading, read_score, reading_of, score_of, turns,
)
from tidal._ext.index cimport NOT_FOUND, home_of, index_guess, mix, shard_of_hash, tag_of
from tidal._ext.layout cimport HotRecord, Lock, Reader, acquire, keep_freed, prefetch, try_acquire, unlock
from tidal._ext.shard cimport Shard
from tidal._ext.windows cimport advance_clock

cdef enum:
    LOOKED_UP = 256     # entities under one hold of the locks, and on their way to the cache together


cdef inline uint32_t shard_index(uint64_t entity_id, uint32_t shard_count) noexcept nogil:
    return shard_of_hash(mix(entity_id), shard_count)


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


cdef inline uint32_t sure_slot(const ShardState *state, uint32_t guess, uint64_t entity_id) noexcept nogil:
    """The slot of an entity, which is nearly always the one that was guessed."""
    if guess == NOT_FOUND or state.arena.rows[guess].entity_id == entity_id:
        return guess
    return find_slot(state, entity_id)


cdef inline double score_at(
    const ShardState *state, uint32_t guess, uint64_t entity_id, int position, int64_t t, const Reader *reader
) noexcept nogil:
    """The score of an entity whose slot is likely to be this one; 0.0 where it is unknown."""
    cdef uint32_t slot = sure_slot(state, guess, entity_id)
    return 0.0 if slot == NOT_FOUND else read_score(state, &state.arena.rows[slot], position, t, reader)


cdef void acquire_politely(Lock *lock) noexcept:
    """Take a lock, and wait for it without the interpreter's: another thread may need that one.

    noexcept: a lock is memory of the shard's, and nothing here can raise.
    """
    if not try_acquire(lock):
        with nogil:
            acquire(lock)


cdef int ingest_into(ShardState *state, Events events, int64_t count, bint held) noexcept nogil:
    """Apply one event or more, a chunk at a time: others get the lock in between.

    ``held``: the caller has it already; it has it no longer afterwards.
    """
    cdef int64_t size
    cdef int failed = 0
    while count > 0 and not failed:
        size = min(<int64_t>CHUNK, count)
        if not held:
            acquire(&state.lock)
        held = False
        failed = ingest_chunk(state, events, size, False, NULL)
        unlock(&state.lock)
        events.entity_ids += size
        events.weights += size
        events.times += size
        count -= size
    return failed


cdef int ingest_part(ShardState *state, const Deal *deal, uint32_t shard, bint held) noexcept nogil:
    """Apply what of a block was dealt to a shard; ``held`` as in ingest_into()."""
    cdef Events events
    cdef int64_t begin = deal.ends[shard - 1] if shard else 0
    if begin == deal.ends[shard]:
        if held:
            unlock(&state.lock)
        return 0
    events.entity_ids, events.weights = &deal.entity_ids[begin], &deal.weights[begin]
    events.times = &deal.times[begin]
    return ingest_into(state, events, deal.ends[shard] - begin, held)


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
        keep_freed()  # batches are decoded, checked and applied in arrays that come and go

    # -------------------------------------------------------------------------------------- clock

    @property
    def clock(self):
        """The newest event time in ns, or None before the first event."""
        return self.newest if self.started else None

    def advance(self, int64_t t):
        """Return the clock, moved to t if that is later. A shard follows with its next event or save."""
        return self.move_clock(t)

    def expect(self, int64_t t):
        """Return the clock, moved to t if that is later, and let every shard follow at once.

        For a replay that knows of an event at t or later: what is older then finds its column, or that it
        has none, and no window is turned for it.
        """
        cdef uint32_t shard
        cdef ShardState *state
        cdef int failed = 0
        t = self.move_clock(t)
        with nogil:
            for shard in range(self.count):
                state = self.states[shard]
                acquire(&state.lock)
                failed = failed or advance_clock(&state.windows, state.arena.rows, state.arena.count, t)
                unlock(&state.lock)
        if failed:
            raise MemoryError("no memory to turn a window")
        return t

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
        first = self.next_turn()
        with nogil:
            while start < count and not failed:
                size = min(<Py_ssize_t>DEALT, count - start)
                events.entity_ids, events.weights = &entity_ids[start], &weights[start]
                events.times = &times[start]
                if deal == NULL:
                    failed = ingest_into(self.states[0], events, size, False)
                else:
                    deal_out(deal, events, size, self.count)
                    failed = self.ingest_dealt(deal, first)
                start += size
            free(deal)
        if failed:
            raise MemoryError("no memory to apply events")

    cdef uint32_t next_turn(self) noexcept:
        """The shard to begin with: threads begin at different ones, so that they seldom meet.

        noexcept: two integers, of which the divisor is 1 at least.
        """
        self.turn += 1
        return self.turn % self.count

    cdef uint64_t entities(self) noexcept nogil:
        cdef uint32_t shard
        cdef uint64_t total = 0
        for shard in range(self.count):
            total += self.states[shard].arena.count
        return total

    cdef int ingest_dealt(self, Deal *deal, uint32_t first) noexcept nogil:
        """Apply a block to the shards that nobody holds, then to the others: each alone, in any order."""
        cdef uint8_t[SHARDS_MAX] busy
        cdef uint32_t i, shard, left = 0
        for i in range(self.count):
            shard = (first + i) % self.count
            if not try_acquire(&self.states[shard].lock):
                busy[left] = <uint8_t>shard
                left += 1
            elif ingest_part(self.states[shard], deal, shard, True):
                return -1
        for i in range(left):
            if ingest_part(self.states[busy[i]], deal, busy[i], False):
                return -1
        return 0

    def add(self, uint64_t entity_id, float weight, int64_t t):
        """Apply one event."""
        self.add_one(entity_id, weight, t)

    cdef int add_one(self, uint64_t entity_id, float weight, int64_t t) except -1:
        cdef Events events
        self.move_clock(t)
        events.entity_ids, events.weights, events.times = &entity_id, &weight, &t
        if ingest_into(self.states[shard_index(entity_id, self.count)], events, 1, False):
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

    cdef double score_now(self, uint64_t entity_id, int position) noexcept:
        """As score_one() by the system's clock, which is read while the record is on its way to the cache."""
        cdef uint64_t hashed = mix(entity_id)
        cdef ShardState *state = self.states[shard_of_hash(hashed, self.count)]
        cdef uint32_t slot
        cdef int64_t now
        cdef double score = 0.0
        acquire_politely(&state.records)
        slot = index_guess(&state.index, tag_of(hashed))
        if slot != NOT_FOUND:
            prefetch(&state.arena.rows[slot])
        now = wall_clock()
        slot = sure_slot(state, slot, entity_id)
        if slot != NOT_FOUND:
            score = score_of(state, &state.arena.rows[slot], position, now)
        unlock(&state.records)
        return score

    def scores(self, const uint64_t[::1] entity_ids, int position, int64_t t):
        """Return the score of each id, float64[n]."""
        scores = np.empty(entity_ids.shape[0], np.float64)
        cdef double[::1] out = scores
        if entity_ids.shape[0]:
            with nogil:
                self.read_scores(&entity_ids[0], entity_ids.shape[0], position, t, &out[0])
        return scores

    cdef void read_scores(
        self, const uint64_t *entity_ids, Py_ssize_t count, int position, int64_t t, double *scores_out
    ) noexcept nogil:
        """Read in three passes, so that none waits for memory: cells, then records, are fetched before."""
        cdef Py_ssize_t i, size
        cdef uint64_t hashed
        cdef ShardState *states[LOOKED_UP]
        cdef uint32_t[LOOKED_UP] places  # of a cell, then of a record
        cdef Reader reader = open_reader(self.states[0], position, t)
        while count > 0:
            size = min(<Py_ssize_t>LOOKED_UP, count)
            self.acquire_all()
            for i in range(size):
                hashed = mix(entity_ids[i])
                states[i] = self.states[shard_of_hash(hashed, self.count)]
                places[i] = tag_of(hashed)
                prefetch(&states[i].index.cells[home_of(&states[i].index, places[i])])
            for i in range(size):
                places[i] = index_guess(&states[i].index, places[i])
                if places[i] != NOT_FOUND:
                    prefetch(&states[i].arena.rows[places[i]])
            for i in range(size):
                scores_out[i] = score_at(states[i], places[i], entity_ids[i], position, t, &reader)
            self.unlock_all()
            entity_ids += size
            scores_out += size
            count -= size

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
