"""Many events gathered by entity before they are applied, for replays and recoveries.

Where there are more entities than the cache holds, most of an event's time goes into fetching its index cell
and its record. So events are first put into heaps: the records of one heap fit the cache together, and each
is fetched once. The events of one entity stay in order.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t
from libc.string cimport memset

from tidal._ext.decay cimport ShardState, late_from
from tidal._ext.layout cimport acquire, unlock


cdef class Gathering:
    """Events of one signal type on their way to its shards, in heaps.

    apply() applies them; for one thread. What was not applied is lost with this object.
    """

    def __cinit__(self, ShardSet shards not None, *_):
        self.shards = shards
        self.arrivals.fine_ns = shards.states[0].windows.fine_ns

    def __len__(self):
        """How many events wait to be applied."""
        return self.waiting

    def apply(self):
        """Apply all that waits."""
        cdef int64_t newest = INT64_MIN
        cdef uint32_t shard, first
        cdef int failed
        self.check(0)
        if self.waiting == 0:
            return
        first = self.shards.next_turn()
        for shard in range(self.shards.count):
            newest = max(newest, self.arrivals.newest[shard])
        self.shards.move_clock(newest)
        with nogil:
            self.expect_events(self.room_in_buckets(newest))
            failed = self.apply_waiting(first)
            self.expect_events(0)
        self.check(failed)
        self.waiting = 0

    cdef int check(self, int failed) except -1:
        """Raise MemoryError where something failed for want of memory, now or ever."""
        self.broken = self.broken or failed
        if self.broken:
            raise MemoryError("no memory to gather events; some of them are lost")
        return 0

    cdef int64_t expect(self, int64_t first) noexcept nogil:
        """Make ready for events, the first of this time; return the newest time of all that came.

        Where none of them is before one that it follows, and the first not before that time, the last of each
        shard is its newest, and none is late.
        """
        cdef int64_t newest = INT64_MIN
        cdef uint32_t shard
        if self.waiting == 0:
            self.arrivals.oldest = first
            for shard in range(self.shards.count):
                self.arrivals.newest[shard] = self.shards.states[shard].newest
        self.arrivals.oldest = min(self.arrivals.oldest, first)
        for shard in range(self.shards.count):
            newest = max(newest, self.arrivals.newest[shard])
            self.arrivals.late_before[shard] = late_from(self.arrivals.newest[shard], self.arrivals.fine_ns)
        return newest

    cdef size_t room_in_buckets(self, int64_t newest) noexcept nogil:
        """For how many events a shard's columns get room: those that wait, evenly spread, and a few more."""
        cdef double buckets
        if self.arrivals.fine_ns == 0:
            return 0
        buckets = max(1.0, <double>(newest - self.arrivals.oldest) / <double>self.arrivals.fine_ns)
        return <size_t>(self.waiting * 17 // 16 // self.shards.count / buckets)

    cdef void expect_events(self, size_t room) noexcept nogil:
        """Tell the shards how many events a bucket will have, and how many of those that came were late."""
        cdef ShardState *state
        cdef uint32_t shard
        for shard in range(self.shards.count):
            state = self.shards.states[shard]
            acquire(&state.lock)
            state.windows.room = room
            state.late += self.arrivals.late[shard]
            unlock(&state.lock)
            self.arrivals.late[shard] = 0

    cdef int apply_waiting(self, uint32_t first) noexcept nogil:
        """Apply what waits, shard after shard, this one first if it is free; 0, or -1 without memory."""
        cdef bint[SHARDS_MAX] done
        cdef uint32_t _, shard
        cdef int failed = 0
        memset(done, 0, sizeof(done))
        for _ in range(self.shards.count):
            shard = self.claim(first, done)
            failed = failed or self.apply_to(shard)
            self.release(shard)
            done[shard] = True
        return failed

    cdef int apply_to(self, uint32_t shard) noexcept nogil:
        """Apply what is known to be of one shard; 0, or -1 without memory."""
        return -1

    cdef uint32_t claim(self, uint32_t first, bint *done) noexcept nogil:
        """The next of the shards that are not done, at which the fewest other threads are.

        Two at one shard would wait for each other every few microseconds, and go on to the next together.
        """
        cdef uint32_t *gatherings = self.shards.gatherings
        cdef uint32_t i, shard, found = SHARDS_MAX
        acquire(&self.shards.claims)
        for i in range(self.shards.count):
            shard = (first + i) % self.shards.count
            if not done[shard] and (found == SHARDS_MAX or gatherings[shard] < gatherings[found]):
                found = shard
        gatherings[found] += 1
        unlock(&self.shards.claims)
        return found

    cdef void release(self, uint32_t shard) noexcept nogil:
        cdef uint32_t *gatherings = self.shards.gatherings
        acquire(&self.shards.claims)
        gatherings[shard] -= 1
        unlock(&self.shards.claims)
