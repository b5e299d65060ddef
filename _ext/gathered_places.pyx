"""Events gathered by entity (gathering.pyx) whose entities are places in a dictionary of ids.

What an entity takes (its hash, its shard, its slot) is worked out once for each word of the dictionary, not
for each event: a word gets a *rank*, by heap and in the order of the words within one, and an event waits
with that. Records that are new get their slots in the order of the ranks, so that the records of a heap lie
together, and are mostly read in the order in which they lie.

Events are dealt out by way of small buffers, of which each is copied past the cache when it is full.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset
from posix.stdlib cimport posix_memalign

from tidal._ext.arena cimport arena_ensure
from tidal._ext.decay cimport Events, ShardState, find_or_insert, ingest_chunk
from tidal._ext.gathering cimport Gathering, Link, arrive, free_chain
from tidal._ext.index cimport (
    NOT_FOUND, home_of, index_ensure, index_find, index_guess, mix, shard_of_hash, tag_of,
)
from tidal._ext.layout cimport LINE, HotRecord, acquire, prefetch, stream_end, stream_line, unlock
from tidal._ext.shards cimport SHARDS_MAX, ShardSet

cdef enum:
    HEAPS = 256             # no fewer than there can be shards
    RANK_BITS = 24          # of a key: heap << RANK_BITS | rank
    WORDS_MAX = 1 << RANK_BITS
    UNUSED = 0xFFFFFFFF     # instead of a slot: no event needed it yet
    WANTED = 0xFFFFFFFE     # an event needs it
    LOOKED_UP = 256         # keys, or cells, that are fetched together
    AHEAD = 16              # records to prefetch before they are touched
    STAGED = 8              # events of a buffer
    LINES = 2               # that they fill
    CHUNK_EVENTS = 1024     # a multiple of STAGED; no more than decay.pxd takes


cdef struct Event:
    uint32_t rank
    float weight
    int64_t t

cdef struct Chunk:
    Chunk *next             # first: a Link
    uint64_t[7] unused      # events begin a line
    Event events[CHUNK_EVENTS]

cdef struct Heap:
    Event *at               # where the next lines of its last chunk go
    Event *end
    Chunk *first
    Chunk *last

cdef struct Buffers:
    Event events[HEAPS][STAGED]
    uint32_t counts[HEAPS]

assert SHARDS_MAX <= HEAPS and STAGED * sizeof(Event) == LINES * LINE
assert sizeof(Chunk) == LINE + CHUNK_EVENTS * sizeof(Event)


cdef inline int64_t count_in(const Heap *heap, const Chunk *chunk) noexcept nogil:
    """How many events a chunk of a heap has."""
    return heap.at - chunk.events if chunk == heap.last else CHUNK_EVENTS


cdef class RankedWords:
    """The words of a dictionary, ranked for tables of so many shards. 12 bytes a word."""

    cdef uint32_t size
    cdef uint32_t shards
    cdef uint32_t bits              # of shard s are the heaps [s << bits, s + 1 << bits)
    cdef uint32_t *keys             # by place
    cdef uint64_t *ids              # by rank
    cdef uint32_t rank_ends[HEAPS]

    def __cinit__(self, const uint64_t[::1] words, uint32_t shards):
        if not 1 <= words.shape[0] <= WORDS_MAX:
            raise ValueError(f"a dictionary of {words.shape[0]} words; it has 1 to {WORDS_MAX}")
        if not 1 <= shards <= SHARDS_MAX:
            raise ValueError(f"{shards} shards; choose 1 to {SHARDS_MAX}")
        self.size, self.shards = <uint32_t>words.shape[0], shards
        while shards << self.bits + 1 <= HEAPS:
            self.bits += 1
        self.keys = <uint32_t *>malloc(self.size * sizeof(uint32_t))
        self.ids = <uint64_t *>malloc(self.size * sizeof(uint64_t))
        if self.keys == NULL or self.ids == NULL:
            raise MemoryError("no memory to rank the words of a dictionary")
        with nogil:
            self.rank(&words[0])

    def __dealloc__(self):
        free(self.keys)
        free(self.ids)

    cdef void rank(self, const uint64_t *words) noexcept nogil:
        cdef uint32_t[HEAPS] next_rank
        cdef uint32_t i, heap, rank = 0, count
        cdef uint64_t hashed
        memset(next_rank, 0, sizeof(next_rank))
        for i in range(self.size):
            hashed = mix(words[i])
            heap = shard_of_hash(hashed, self.shards) << self.bits
            heap |= <uint32_t>(<uint64_t>tag_of(hashed) >> (32 - self.bits))
            self.keys[i] = heap << RANK_BITS
            next_rank[heap] += 1
        for heap in range(HEAPS):
            count = next_rank[heap]
            next_rank[heap] = rank
            rank += count
            self.rank_ends[heap] = rank
        for i in range(self.size):
            heap = self.keys[i] >> RANK_BITS
            rank = next_rank[heap]
            next_rank[heap] = rank + 1
            self.keys[i] |= rank
            self.ids[rank] = words[i]

    cdef uint32_t first_rank(self, uint32_t heap) noexcept nogil:
        return self.rank_ends[heap - 1] if heap else 0


cdef class GatheredPlaces(Gathering):
    cdef RankedWords words          # of what waits, or waited last
    cdef uint32_t *slots            # by rank: the record's, UNUSED or WANTED
    cdef Heap heaps[HEAPS]
    cdef Buffers *buffers
    cdef Chunk *spare

    def __cinit__(self, ShardSet shards not None):
        if posix_memalign(<void **>&self.buffers, LINE, sizeof(Buffers)):
            raise MemoryError("no memory to gather events")
        memset(self.buffers.counts, 0, sizeof(self.buffers.counts))

    def __dealloc__(self):
        cdef uint32_t heap
        for heap in range(HEAPS):
            free_chain(<Link *>self.heaps[heap].first)
        free_chain(<Link *>self.spare)
        free(self.buffers)
        free(self.slots)

    def add(
        self, const uint32_t[::1] places, RankedWords words not None, const float[::1] weights,
        const int64_t[::1] times
    ):
        """Take in events of the entities at these places among the words, after those that came before.

        What waits with other words is applied first.
        """
        cdef Py_ssize_t i, count = places.shape[0]
        cdef uint32_t largest = 0
        cdef int failed
        if not count == weights.shape[0] == times.shape[0]:
            raise ValueError("columns of different lengths")
        if words.shards != self.shards.count:
            raise ValueError(f"words ranked for {words.shards} shards, not {self.shards.count}")
        self.check(0)
        if count == 0:
            return
        for i in range(count):
            largest = max(largest, places[i])
        if largest >= words.size:
            raise ValueError(f"place {largest} in a dictionary of {words.size} words")
        if words is not self.words:
            self.apply()
            self.take(words)
        with nogil:
            failed = self.put(&places[0], &weights[0], &times[0], count)
        self.check(failed)

    cdef int take(self, RankedWords words) except -1:
        """Make ready for events with these words."""
        cdef void *slots = realloc(self.slots, words.size * sizeof(uint32_t))
        if slots == NULL:
            raise MemoryError("no memory to gather events")
        memset(slots, 0xFF, words.size * sizeof(uint32_t))  # UNUSED
        self.slots, self.words = <uint32_t *>slots, words
        return 0

    cdef int put(
        self, const uint32_t *places, const float *weights, const int64_t *times, int64_t count
    ) noexcept nogil:
        cdef uint32_t[LOOKED_UP] keys
        cdef const uint32_t *key_of = self.words.keys
        cdef int64_t start = 0, i, size
        cdef uint32_t heap, staged
        cdef Event *event
        cdef bint ordered = self.expect_order(times, count)
        while start < count:
            size = min(<int64_t>LOOKED_UP, count - start)
            # Apart from the writes: no read has to wait until it is known where these go.
            for i in range(size):
                keys[i] = key_of[places[start + i]]
            for i in range(size):
                heap = keys[i] >> RANK_BITS
                staged = self.buffers.counts[heap]
                event = &self.buffers.events[heap][staged]
                event.rank = keys[i] & (WORDS_MAX - 1)
                event.weight = weights[start + i]
                event.t = times[start + i]
                self.buffers.counts[heap] = staged + 1
                if staged + 1 == STAGED and self.move_out(heap):
                    return -1
            if not ordered:
                for i in range(size):
                    arrive(&self.arrivals, keys[i] >> RANK_BITS >> self.words.bits, times[start + i])
            start += size
        if ordered:
            self.note_newest(places, times, count)
        stream_end()
        self.waiting += count
        return 0

    cdef void note_newest(self, const uint32_t *places, const int64_t *times, int64_t count) noexcept nogil:
        """Note the newest time of each shard, of events in order: of most shards one is among the last."""
        cdef bint[SHARDS_MAX] seen
        cdef uint32_t shard, left = self.shards.count
        memset(seen, 0, sizeof(seen))
        while count > 0 and left > 0:
            count -= 1
            shard = self.words.keys[places[count]] >> RANK_BITS >> self.words.bits
            if not seen[shard]:
                seen[shard] = True
                left -= 1
                self.arrivals.newest[shard] = max(self.arrivals.newest[shard], times[count])

    cdef int move_out(self, uint32_t number) noexcept nogil:
        """Move a full buffer to its heap; 0, or -1 without memory."""
        cdef Heap *heap = &self.heaps[number]
        cdef char *source = <char *>&self.buffers.events[number]
        cdef int line
        if heap.at == heap.end and self.add_chunk(heap):
            return -1
        for line in range(LINES):
            stream_line(<char *>heap.at + line * LINE, source + line * LINE)
        heap.at += STAGED
        self.buffers.counts[number] = 0
        return 0

    cdef int move_rest(self, uint32_t number) noexcept nogil:
        """Move a buffer that is not full to its heap, to be applied; 0, or -1 without memory."""
        cdef Heap *heap = &self.heaps[number]
        cdef uint32_t i, count = self.buffers.counts[number]
        if count and heap.at == heap.end and self.add_chunk(heap):
            return -1
        for i in range(count):
            heap.at[i] = self.buffers.events[number][i]
        heap.at += count
        self.buffers.counts[number] = 0
        return 0

    cdef int add_chunk(self, Heap *heap) noexcept nogil:
        cdef Chunk *chunk = self.spare
        if chunk != NULL:
            self.spare = chunk.next
        elif posix_memalign(<void **>&chunk, LINE, sizeof(Chunk)):
            return -1
        chunk.next = NULL
        if heap.first == NULL:
            heap.first = chunk
        else:
            heap.last.next = chunk
        heap.last = chunk
        heap.at, heap.end = chunk.events, chunk.events + CHUNK_EVENTS
        return 0

    cdef int apply_to(self, uint32_t shard) noexcept nogil:
        cdef ShardState *state = self.shards.states[shard]
        cdef uint32_t heap, heaps = <uint32_t>1 << self.words.bits, first = shard << self.words.bits
        cdef int failed = 0
        acquire(&state.lock)
        state.late += self.arrivals.late[shard]
        unlock(&state.lock)
        self.arrivals.late[shard] = 0
        for heap in range(first, first + heaps):
            # Heaps fill one part of the index after the other. Were it to grow as it is filled, a part would
            # be full long before the whole is. All parts have about as many entities.
            failed = failed or self.apply_heap(state, heap, heaps + 1 if heap == first else 1)
        return failed

    cdef int apply_heap(self, ShardState *state, uint32_t number, uint32_t like_it) noexcept nogil:
        """Apply a heap, with room in the index for so many like it."""
        cdef Heap *heap = &self.heaps[number]
        cdef Chunk *chunk
        cdef int failed = self.move_rest(number)
        chunk = heap.first
        if chunk == NULL:
            return failed
        acquire(&state.lock)
        failed = failed or self.settle(state, number, like_it)
        unlock(&state.lock)
        while chunk != NULL and not failed:
            failed = self.apply_chunk(state, chunk, count_in(heap, chunk))
            chunk = chunk.next
        heap.last.next = self.spare
        self.spare = heap.first
        memset(heap, 0, sizeof(Heap))
        return failed

    cdef int settle(self, ShardState *state, uint32_t number, uint32_t like_it) noexcept nogil:
        """Find or make the records that a heap's events need, and have the others on the way to the cache.

        0, or -1 without memory. The caller holds the lock.
        """
        cdef uint32_t rank, slot, first = self.words.first_rank(number), end = self.words.rank_ends[number]
        cdef const HotRecord *rows = state.arena.rows
        cdef int64_t earliest
        cdef uint64_t entities, new = 0
        if not self.mark_wanted(number, &earliest):
            for rank in range(first, end):
                prefetch(&rows[self.slots[rank]])  # of none: that is no access
            return 0
        self.guess_slots(state, first, end)
        for rank in range(first, end):
            prefetch(&rows[self.slots[min(rank + AHEAD, end - 1)]])
            slot = self.slots[rank]
            if slot < WANTED and rows[slot].entity_id != self.words.ids[rank]:
                slot = index_find(&state.index, tag_of(mix(self.words.ids[rank])), self.words.ids[rank], rows)
                self.slots[rank] = slot = WANTED if slot == NOT_FOUND else slot
            new += slot == WANTED
        entities = state.arena.count + new
        if (index_ensure(&state.index, entities + new * (like_it - 1), &state.records)
                or arena_ensure(&state.arena, entities)):
            return -1
        acquire(&state.records)
        for rank in range(first, end):
            if self.slots[rank] == WANTED:
                self.slots[rank] = find_or_insert(state, self.words.ids[rank], earliest)
        unlock(&state.records)
        return 0

    cdef bint mark_wanted(self, uint32_t number, int64_t *earliest_out) noexcept nogil:
        """Mark the words that events need for the first time; return whether there are any."""
        cdef Heap *heap = &self.heaps[number]
        cdef const Chunk *chunk = heap.first
        cdef uint32_t *slot
        cdef bint any = False
        cdef int64_t i
        earliest_out[0] = INT64_MAX
        while chunk != NULL:
            for i in range(count_in(heap, chunk)):
                slot = &self.slots[chunk.events[i].rank]
                any |= slot[0] == UNUSED
                slot[0] = min(slot[0], <uint32_t>WANTED)
                earliest_out[0] = min(earliest_out[0], chunk.events[i].t)
            chunk = chunk.next
        return any

    cdef void guess_slots(self, const ShardState *state, uint32_t rank, uint32_t end) noexcept nogil:
        """Give the words that are wanted their likely slots, if they have one."""
        cdef uint32_t[LOOKED_UP] ranks
        cdef uint32_t[LOOKED_UP] tags
        cdef uint32_t i, found, slot
        while rank < end:
            found = 0
            while rank < end and found < LOOKED_UP:
                if self.slots[rank] == WANTED:
                    ranks[found] = rank
                    tags[found] = tag_of(mix(self.words.ids[rank]))
                    prefetch(&state.index.cells[home_of(&state.index, tags[found])])
                    found += 1
                rank += 1
            for i in range(found):
                slot = index_guess(&state.index, tags[i])
                self.slots[ranks[i]] = WANTED if slot == NOT_FOUND else slot

    cdef int apply_chunk(self, ShardState *state, const Chunk *chunk, int64_t count) noexcept nogil:
        cdef uint32_t[CHUNK_EVENTS] slots
        cdef float[CHUNK_EVENTS] weights
        cdef int64_t[CHUNK_EVENTS] times
        cdef Events events
        cdef int64_t i
        cdef int failed
        for i in range(count):
            slots[i] = self.slots[chunk.events[i].rank]
            weights[i] = chunk.events[i].weight
            times[i] = chunk.events[i].t
        events.entity_ids, events.weights, events.times = NULL, weights, times
        acquire(&state.lock)
        failed = ingest_chunk(state, events, count, True, slots)
        unlock(&state.lock)
        return failed
