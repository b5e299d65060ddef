"""Events gathered by entity (gathering.pyx) that come with the ids of their entities.

Heaps are by shard and by part of the shard's index, so that the cells of a heap fit the cache, too.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from tidal._ext.decay cimport CHUNK, Events, ShardState, ingest_chunk
from tidal._ext.gathering cimport Gathering, arrive
from tidal._ext.index cimport NOT_FOUND, index_ensure, index_guess, mix, shard_of_hash, tag_of
from tidal._ext.layout cimport acquire, unlock
from tidal._ext.pool cimport Link, Pool, pool_close, pool_give_back, pool_open, pool_take
from tidal._ext.shards cimport SHARDS_MAX, ShardSet
from tidal._ext.vectors cimport in_order

cdef enum:
    HEAPS = 64      # which are written in turns; more, where there are more shards


cdef struct Chunk:
    Chunk *next                 # first: a Link
    int64_t count
    uint64_t entity_ids[CHUNK]
    int64_t times[CHUNK]
    float weights[CHUNK]

cdef struct Heap:
    Chunk *first
    Chunk *last


cdef uint64_t count_new(const ShardState *state, const Chunk *chunk) noexcept nogil:
    """About how many entities of some events have no record yet; 0 without memory for counting them.

    The caller holds the lock.
    """
    cdef const Chunk *each = chunk
    cdef uint64_t room = 1, events = 0, mask, hashed, at, found = 0
    cdef uint32_t *tags
    cdef int64_t i
    while each != NULL:
        events += each.count
        each = each.next
    while room < 2 * events:
        room *= 2
    mask = room - 1
    tags = <uint32_t *>calloc(room, sizeof(uint32_t))
    while tags != NULL and chunk != NULL:
        for i in range(chunk.count):
            hashed = mix(chunk.entity_ids[i])
            if index_guess(&state.index, tag_of(hashed)) == NOT_FOUND:
                at = hashed & mask  # of other bits than those that all of the heap share
                while tags[at] != 0 and tags[at] != (tag_of(hashed) | 1):
                    at = at + 1 & mask
                found += tags[at] == 0
                tags[at] = tag_of(hashed) | 1
        chunk = chunk.next
    free(tags)
    return found


cdef class GatheredIds(Gathering):
    """Arrays are those of ShardSet.ingest(). Below ``entities_min`` entities nothing waits."""

    cdef uint64_t entities_min
    cdef Heap heaps[SHARDS_MAX]         # of shard s, those of [s << bits, s + 1 << bits)
    cdef uint32_t bits
    cdef Pool pool

    def __cinit__(self, ShardSet shards not None, uint64_t entities_min):
        self.entities_min = entities_min
        pool_open(&self.pool, sizeof(Chunk))
        while shards.count << self.bits + 1 <= HEAPS:
            self.bits += 1

    def __dealloc__(self):
        pool_close(&self.pool)

    def add(self, const uint64_t[::1] entity_ids, const float[::1] weights, const int64_t[::1] times):
        """Take in events, after those that came before."""
        cdef Events events
        cdef int failed
        if not entity_ids.shape[0] == weights.shape[0] == times.shape[0]:
            raise ValueError("columns of different lengths")
        self.check(0)
        if entity_ids.shape[0] == 0:
            return
        if self.waiting == 0 and self.shards.entities() < self.entities_min:
            self.shards.ingest(entity_ids, weights, times)
            return
        events.entity_ids, events.weights, events.times = &entity_ids[0], &weights[0], &times[0]
        with nogil:
            failed = self.put(events, entity_ids.shape[0])
        self.check(failed)

    cdef int put(self, Events events, int64_t count) noexcept nogil:
        cdef int64_t i, t
        cdef uint32_t shard, heap, shards = self.shards.count, bits = self.bits
        cdef uint64_t hashed
        cdef Chunk *chunk
        cdef bint ordered = events.times[0] >= self.expect(events.times[0]) and in_order(events.times, count)
        for i in range(count):
            hashed, t = mix(events.entity_ids[i]), events.times[i]
            shard = shard_of_hash(hashed, shards)
            heap = shard << bits | <uint32_t>(<uint64_t>tag_of(hashed) >> (32 - bits))
            chunk = self.heaps[heap].last
            if chunk == NULL or chunk.count == CHUNK:
                chunk = self.add_chunk(&self.heaps[heap])
                if chunk == NULL:
                    return -1
            chunk.entity_ids[chunk.count] = events.entity_ids[i]
            chunk.weights[chunk.count] = events.weights[i]
            chunk.times[chunk.count] = t
            chunk.count += 1
            if ordered:
                self.arrivals.newest[shard] = max(self.arrivals.newest[shard], t)
            else:
                arrive(&self.arrivals, shard, t)
        self.waiting += count
        return 0

    cdef Chunk *add_chunk(self, Heap *heap) noexcept nogil:
        cdef Chunk *chunk = <Chunk *>pool_take(&self.pool)
        if chunk == NULL:
            return NULL
        chunk.next, chunk.count = NULL, 0
        if heap.first == NULL:
            heap.first = chunk
        else:
            heap.last.next = chunk
        heap.last = chunk
        return chunk

    cdef int apply_to(self, uint32_t shard) noexcept nogil:
        cdef ShardState *state = self.shards.states[shard]
        cdef Heap *heap = &self.heaps[shard << self.bits]
        cdef uint64_t new
        cdef uint32_t part
        cdef int failed
        acquire(&state.lock)  # without it another thread may let the index grow while it is read
        new = count_new(state, heap.first) << self.bits
        # Heaps fill one part of the index after the other. Were it to grow as it is filled, a part would be
        # full long before the whole is. All parts have about as many entities.
        failed = index_ensure(&state.index, state.arena.count + new + new // 16, &state.records)
        unlock(&state.lock)
        for part in range(<uint32_t>1 << self.bits):
            failed = failed or self.apply_heap(state, &heap[part])
        return failed

    cdef int apply_heap(self, ShardState *state, Heap *heap) noexcept nogil:
        cdef Chunk *chunk = heap.first
        cdef Events events
        cdef int failed = 0
        while chunk != NULL and not failed:
            events.entity_ids, events.weights = chunk.entity_ids, chunk.weights
            events.times = chunk.times
            acquire(&state.lock)
            failed = ingest_chunk(state, events, chunk.count, True, NULL)
            unlock(&state.lock)
            chunk = chunk.next
        if heap.first != NULL:
            pool_give_back(&self.pool, <Link *>heap.first, <Link *>heap.last)
            heap.first = heap.last = NULL
        return failed
