"""Events gathered by entity (gathering.pyx) whose entities are places in a dictionary of ids.

Events wait in heaps of neighbouring places, whose records fit the cache together; an event is dealt out
without a look at anything but its place. Archives number entities so that most heaps are of one shard, and
are applied as they are; the events of others are dealt out once more, to the shards of their entities. What
an entity takes (its shard, its slot) is worked out once for each word of the dictionary, not for each event.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from tidal._ext.arena cimport arena_ensure
from tidal._ext.decay cimport Events, ShardState, find_or_insert_from, ingest_chunk
from tidal._ext.gathering cimport Gathering, arrive
from tidal._ext.index cimport (
    NOT_FOUND, home_of, index_ensure, index_first, index_guess, mix, shard_of_hash, slot_in, tag_of,
)
from tidal._ext.layout cimport LINE, HotRecord, acquire, prefetch, unlock
from tidal._ext.pool cimport Link, Pool, pool_close, pool_give_back, pool_open, pool_take
from tidal._ext.shards cimport SHARDS_MAX, ShardSet
from tidal._ext.vectors cimport largest_of

cdef enum:
    HEAPS = 256
    WORDS_MAX = 1 << 24
    MIXED = SHARDS_MAX      # instead of a shard: words of several
    SAMPLED = 2048          # words, about, that tell how many entities are new
    UNUSED = 0xFFFFFFFF     # instead of a slot: no event needed it yet
    CHUNK_EVENTS = 1024
    FETCHED = 4             # events, in a line, whose memory is fetched before they come
    DEALT = 256             # events of a shard that are applied together; the nearest cache has room


cdef struct Event:
    uint32_t place
    float weight
    int64_t t

cdef struct Chunk:
    Chunk *next             # first: a Link
    uint64_t[7] unused      # events begin a line
    Event events[CHUNK_EVENTS]

cdef struct Heap:
    Event *at               # where the next event goes, in its last chunk
    Event *end
    Chunk *first
    Chunk *last

# Events of a heap that go to one shard.
cdef struct Dealt:
    Event *at               # where the next one goes
    Event *end
    Event events[DEALT]
    uint64_t[8] unused      # so that equal parts of two shards' are not in the same set of the cache

assert sizeof(Chunk) == LINE + CHUNK_EVENTS * sizeof(Event)


cdef inline int64_t count_in(const Heap *heap, const Chunk *chunk) noexcept nogil:
    """How many events a chunk of a heap has."""
    return heap.at - chunk.events if chunk == heap.last else CHUNK_EVENTS


cdef class HomedWords:
    """The words of a dictionary with the shard of each, in tables of so many. A byte a word beside them."""

    cdef const uint64_t[::1] ids
    cdef uint32_t size
    cdef uint32_t shards
    cdef uint8_t *homes
    cdef uint32_t heap_shift        # of heap h are the places [h << heap_shift, h + 1 << heap_shift)
    cdef uint32_t heap_homes[HEAPS]     # the shard of all its words, or MIXED

    def __cinit__(self, const uint64_t[::1] words, uint32_t shards):
        if not 1 <= words.shape[0] <= WORDS_MAX:
            raise ValueError(f"a dictionary of {words.shape[0]} words; it has 1 to {WORDS_MAX}")
        if not 1 <= shards <= SHARDS_MAX:
            raise ValueError(f"{shards} shards; choose 1 to {SHARDS_MAX}")
        self.ids, self.size, self.shards = words, <uint32_t>words.shape[0], shards
        self.homes = <uint8_t *>malloc(self.size)
        if self.homes == NULL:
            raise MemoryError("no memory for the words of a dictionary")
        while (self.size - 1) >> self.heap_shift >= HEAPS:
            self.heap_shift += 1
        with nogil:
            self.find_homes(&words[0])

    def __dealloc__(self):
        free(self.homes)

    cdef void find_homes(self, const uint64_t *words) noexcept nogil:
        cdef uint32_t i, home, inside = (<uint32_t>1 << self.heap_shift) - 1
        cdef uint32_t *heap_home
        for i in range(self.size):
            home = shard_of_hash(mix(words[i]), self.shards)
            self.homes[i] = <uint8_t>home
            heap_home = &self.heap_homes[i >> self.heap_shift]
            heap_home[0] = home if i & inside == 0 or home == heap_home[0] else <uint32_t>MIXED


cdef class GatheredPlaces(Gathering):
    cdef HomedWords words           # of what waits, or waited last
    cdef const uint64_t *ids        # theirs
    cdef const uint8_t *homes
    cdef uint32_t heap_shift
    cdef uint32_t *slots            # by place: the record's, or UNUSED
    cdef Heap heaps[HEAPS]
    cdef bint met[HEAPS]            # whether events of a heap were applied
    cdef uint8_t *needed            # of the words of one heap, whether events wait
    cdef Dealt *dealt               # by shard
    cdef Pool pool

    def __cinit__(self, ShardSet shards not None):
        cdef uint32_t shard
        pool_open(&self.pool, sizeof(Chunk))
        self.dealt = <Dealt *>malloc(shards.count * sizeof(Dealt))
        if self.dealt == NULL:
            raise MemoryError("no memory to gather events")
        for shard in range(shards.count):
            self.dealt[shard].at = self.dealt[shard].events
            self.dealt[shard].end = self.dealt[shard].events + DEALT

    def __dealloc__(self):
        pool_close(&self.pool)
        free(self.dealt)
        free(self.needed)
        free(self.slots)

    def add(
        self, const uint32_t[::1] places, HomedWords words not None, const float[::1] weights,
        const int64_t[::1] times
    ):
        """Take in events of the entities at these places among the words, after those that came before.

        What waits with other words is applied first.
        """
        cdef Py_ssize_t count = places.shape[0]
        cdef uint32_t largest
        cdef int failed
        if not count == weights.shape[0] == times.shape[0]:
            raise ValueError("columns of different lengths")
        if words.shards != self.shards.count:
            raise ValueError(f"words for {words.shards} shards, not {self.shards.count}")
        self.check(0)
        if count == 0:
            return
        largest = largest_of(&places[0], count)
        if largest >= words.size:
            raise ValueError(f"place {largest} in a dictionary of {words.size} words")
        if words is not self.words:
            self.apply()
            self.take(words)
        with nogil:
            failed = self.put(&places[0], &weights[0], &times[0], count)
        self.check(failed)

    cdef int take(self, HomedWords words) except -1:
        """Make ready for events with these words."""
        cdef void *needed = realloc(self.needed, <size_t>1 << words.heap_shift)
        cdef void *slots = realloc(self.slots, words.size * sizeof(uint32_t))
        self.words = None  # there may be less room for them now
        self.needed = <uint8_t *>needed if needed != NULL else self.needed
        self.slots = <uint32_t *>slots if slots != NULL else self.slots
        if needed == NULL or slots == NULL:
            raise MemoryError("no memory to gather events")
        memset(slots, 0xFF, words.size * sizeof(uint32_t))  # UNUSED
        memset(self.met, 0, sizeof(self.met))
        self.words = words
        self.ids, self.homes, self.heap_shift = &words.ids[0], words.homes, words.heap_shift
        return 0

    cdef int put(
        self, const uint32_t *places, const float *weights, const int64_t *times, int64_t count
    ) noexcept nogil:
        cdef int64_t i
        cdef uint32_t shift = self.heap_shift
        cdef Heap *heap
        cdef Event *event
        cdef int64_t before = self.expect(times[0])
        cdef bint ordered = True
        for i in range(count):
            heap = &self.heaps[places[i] >> shift]
            if heap.at == heap.end and self.add_chunk(heap):
                return -1
            event = heap.at
            prefetch(event + FETCHED)
            event.place = places[i]
            event.weight = weights[i]
            event.t = times[i]
            ordered &= before <= times[i]
            before = times[i]
            heap.at = event + 1
        if ordered:
            self.note_newest(places, times, count)
        else:
            for i in range(count):
                arrive(&self.arrivals, self.homes[places[i]], times[i])
        self.waiting += count
        return 0

    cdef void note_newest(self, const uint32_t *places, const int64_t *times, int64_t count) noexcept nogil:
        """Note the newest time of each shard, of events in order: of most shards one is among the last."""
        cdef bint[SHARDS_MAX] seen
        cdef uint32_t shard, left = self.shards.count
        memset(seen, 0, sizeof(seen))
        while count > 0 and left > 0:
            count -= 1
            shard = self.homes[places[count]]
            if not seen[shard]:
                seen[shard] = True
                left -= 1
                self.arrivals.newest[shard] = max(self.arrivals.newest[shard], times[count])

    cdef int add_chunk(self, Heap *heap) noexcept nogil:
        cdef Chunk *chunk = <Chunk *>pool_take(&self.pool)
        if chunk == NULL:
            return -1
        chunk.next = NULL
        if heap.first == NULL:
            heap.first = chunk
        else:
            heap.last.next = chunk
        heap.last = chunk
        heap.at, heap.end = chunk.events, chunk.events + CHUNK_EVENTS
        return 0

    cdef int apply_waiting(self, uint32_t first) noexcept nogil:
        cdef uint32_t heap, i
        cdef int failed = self.make_room() or Gathering.apply_waiting(self, first)
        for heap in range(HEAPS):
            if self.words.heap_homes[heap] == MIXED and not failed:
                failed = self.deal_out(&self.heaps[heap])
                for i in range(self.shards.count):
                    failed = failed or self.apply_dealt((first + i) % self.shards.count)
        return failed

    cdef int apply_to(self, uint32_t shard) noexcept nogil:
        """Apply the heaps that are of one shard alone."""
        cdef uint32_t heap
        cdef int failed = 0
        for heap in range(HEAPS):
            if self.words.heap_homes[heap] == shard:
                failed = failed or self.hand_over(&self.heaps[heap], shard)
        return failed

    cdef int make_room(self) noexcept nogil:
        """Make room for the entities that are new, as far as some of the words tell; 0, or -1 without memory.

        Heaps fill one part of an index after the other. Were it to grow as it is filled, a part would be full
        long before the whole is.
        """
        cdef ShardState *state
        cdef uint32_t shard, place, step = self.words.size // SAMPLED + 1
        cdef uint64_t entities, new
        cdef int failed = 0
        for shard in range(self.shards.count):
            state = self.shards.states[shard]
            acquire(&state.lock)
            new = place = 0
            while place < self.words.size:
                if self.homes[place] == shard and self.slots[place] == UNUSED:
                    new += index_guess(&state.index, tag_of(mix(self.ids[place]))) == NOT_FOUND
                place += step
            entities = state.arena.count + min(<int64_t>(new * step), self.waiting) * 17 // 16
            failed = failed or index_ensure(&state.index, entities, &state.records)
            failed = failed or arena_ensure(&state.arena, entities)
            unlock(&state.lock)
        return failed

    cdef void empty(self, Heap *heap) noexcept nogil:
        """Give back the chunks of a heap."""
        if heap.first != NULL:
            pool_give_back(&self.pool, <Link *>heap.first, <Link *>heap.last)
            memset(heap, 0, sizeof(Heap))

    cdef int hand_over(self, Heap *heap, uint32_t shard) noexcept nogil:
        """Apply the events of a heap, which are all of one shard."""
        cdef const Chunk *chunk = heap.first
        cdef uint32_t number = <uint32_t>(heap - &self.heaps[0])
        cdef int failed = 0
        if chunk != NULL and not self.met[number]:
            self.met[number] = True
            failed = self.meet(heap, number << self.heap_shift, self.shards.states[shard])
        while chunk != NULL and not failed:
            failed = self.apply_events(shard, chunk.events, count_in(heap, chunk))
            chunk = chunk.next
        self.empty(heap)
        return failed

    cdef int meet(self, const Heap *heap, uint32_t first, ShardState *state) noexcept nogil:
        """Find or make the records of a heap's entities, in the order of its words.

        So ids, cells of the index and new records are come to in a row. 0, or -1 without memory.
        """
        cdef uint8_t *needed = self.needed
        cdef const Chunk *chunk = heap.first
        cdef uint32_t[DEALT] places
        cdef uint32_t i, found = 0, size = min(<uint32_t>1 << self.heap_shift, self.words.size - first)
        cdef int64_t j, oldest = INT64_MAX
        cdef int failed = 0
        memset(needed, 0, size)
        while chunk != NULL:
            for j in range(count_in(heap, chunk)):
                needed[chunk.events[j].place - first] = True
                oldest = min(oldest, chunk.events[j].t)
            chunk = chunk.next
        acquire(&state.lock)
        for i in range(size):
            places[found] = first + i
            found += needed[i]
            if found == DEALT:
                failed = failed or self.learn_slots(state, places, found, oldest)
                found = 0
        failed = failed or self.learn_slots(state, places, found, oldest)
        unlock(&state.lock)
        return failed

    cdef int deal_out(self, Heap *heap) noexcept nogil:
        """Put the events of a heap where those of their shards wait, and apply these as they fill up."""
        cdef const uint8_t *homes = self.homes
        cdef Dealt *all_dealt = self.dealt
        cdef Dealt *dealt
        cdef const Chunk *chunk = heap.first
        cdef uint32_t home
        cdef int64_t i
        while chunk != NULL:
            for i in range(count_in(heap, chunk)):
                home = homes[chunk.events[i].place]
                dealt = &all_dealt[home]
                dealt.at[0] = chunk.events[i]
                dealt.at += 1
                if dealt.at == dealt.end and self.apply_dealt(home):
                    return -1
            chunk = chunk.next
        self.empty(heap)
        return 0

    cdef int apply_dealt(self, uint32_t shard) noexcept nogil:
        cdef Dealt *dealt = &self.dealt[shard]
        cdef int64_t count = dealt.at - dealt.events
        dealt.at = dealt.events
        return self.apply_events(shard, dealt.events, count) if count else 0

    cdef int apply_events(self, uint32_t shard, const Event *waiting, int64_t count) noexcept nogil:
        """Apply events of a shard under one hold of its lock: CHUNK_EVENTS at most."""
        cdef ShardState *state = self.shards.states[shard]
        cdef uint32_t[DEALT] slots
        cdef float[DEALT] weights
        cdef int64_t[DEALT] times
        cdef Events events = [NULL, weights, times]
        cdef int64_t start, stop = 0
        cdef int failed = 0
        acquire(&state.lock)
        while stop < count and not failed:
            start, stop = stop, min(stop + DEALT, count)
            failed = (self.put_in_columns(state, &waiting[start], stop - start, slots, weights, times)
                      or ingest_chunk(state, events, stop - start, True, slots))
        unlock(&state.lock)
        return failed

    cdef int put_in_columns(
        self, ShardState *state, const Event *events, int64_t count, uint32_t *slots_out, float *weights_out,
        int64_t *times_out
    ) noexcept nogil:
        """Fill the columns of DEALT events at most; make the records that are not there, have all on the way
        to the cache.

        0, or -1 without memory. The caller holds the lock.
        """
        cdef const HotRecord *rows = state.arena.rows
        cdef const uint32_t *slots = self.slots
        cdef uint32_t slot, largest = 0
        cdef int64_t i
        for i in range(count):
            slot = slots[events[i].place]
            prefetch(&rows[slot])  # of none: that is no access
            slots_out[i] = slot
            largest = max(largest, slot)
            weights_out[i] = events[i].weight
            times_out[i] = events[i].t
        return self.learn_unused(state, events, count, slots_out) if largest == UNUSED else 0

    cdef int learn_unused(
        self, ShardState *state, const Event *events, int64_t count, uint32_t *slots_out
    ) noexcept nogil:
        """Find or make the records of those events whose entities were not needed before.

        0, or -1 without memory.
        """
        cdef uint32_t[DEALT] unknown
        cdef uint32_t[DEALT] places
        cdef uint32_t i, found = 0
        cdef int64_t oldest = INT64_MAX
        for i in range(<uint32_t>count):
            unknown[found] = i
            found += slots_out[i] == UNUSED
        for i in range(found):
            places[i] = events[unknown[i]].place
            oldest = min(oldest, events[unknown[i]].t)
        if self.learn_slots(state, places, found, oldest):
            return -1
        for i in range(found):
            slots_out[unknown[i]] = self.slots[places[i]]
        return 0

    cdef int learn_slots(
        self, ShardState *state, const uint32_t *places, uint32_t count, int64_t oldest
    ) noexcept nogil:
        """Find or make the records of DEALT places at most, whose events are of this time or later.

        0, or -1 without memory. The caller holds the lock.
        """
        cdef uint32_t[DEALT] tags
        cdef uint64_t[DEALT] cells
        cdef uint32_t *slots = self.slots
        cdef const uint64_t *ids = self.ids
        cdef uint64_t entities = <uint64_t>state.arena.count + count
        cdef uint32_t i
        if index_ensure(&state.index, entities, &state.records) or arena_ensure(&state.arena, entities):
            return -1
        for i in range(count):
            tags[i] = tag_of(mix(ids[places[i]]))
            prefetch(&state.index.cells[home_of(&state.index, tags[i])])
        for i in range(count):
            cells[i] = index_first(&state.index, tags[i])
            prefetch(&state.arena.rows[slot_in(&state.index, cells[i])])
        acquire(&state.records)
        for i in range(count):
            if slots[places[i]] == UNUSED:
                slots[places[i]] = find_or_insert_from(state, cells[i], tags[i], ids[places[i]], oldest)
        unlock(&state.records)
        return 0
