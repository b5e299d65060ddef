"""Many events gathered by entity before they are applied, for replays and recoveries.

Where there are more entities than the cache holds, most of an event's time goes into fetching its index cell
and its record. So events are first put into heaps, by shard and by part of the shard's index: the cells and
records of one heap fit the cache together, and each is fetched once. The events of one entity stay in order.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint32_t
from libc.stdlib cimport free

from tidal._ext.decay cimport late_from


cdef void free_chain(Link *first) noexcept nogil:
    """Free this and all that come after it."""
    cdef Link *following
    while first != NULL:
        following = first.next
        free(first)
        first = following


cdef bint in_order(const int64_t *times, int64_t count, int64_t earliest) noexcept nogil:
    """Whether no event is older than the one before it, nor any than this time."""
    cdef int64_t i
    cdef bint back = times[0] < earliest
    for i in range(1, count):
        back |= times[i] < times[i - 1]
    return not back


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
        cdef uint32_t shard, i, first
        cdef int failed = 0
        self.check(0)
        if self.waiting == 0:
            return
        first = self.shards.next_turn()
        for shard in range(self.shards.count):
            newest = max(newest, self.arrivals.newest[shard])
        self.shards.move_clock(newest)
        with nogil:
            for i in range(self.shards.count):
                shard = (first + i) % self.shards.count
                failed = failed or self.apply_to(shard)
        self.check(failed)
        self.waiting = 0

    cdef int check(self, int failed) except -1:
        """Raise MemoryError where something failed for want of memory, now or ever."""
        self.broken = self.broken or failed
        if self.broken:
            raise MemoryError("no memory to gather events; some of them are lost")
        return 0

    cdef bint expect_order(self, const int64_t *times, int64_t count) noexcept nogil:
        """Make ready for events, one at least; return whether each is as new as all before it.

        Then the last of each shard is its newest, and none is late.
        """
        cdef int64_t newest = INT64_MIN
        cdef uint32_t shard
        if self.waiting == 0:
            for shard in range(self.shards.count):
                self.arrivals.newest[shard] = self.shards.states[shard].newest
        for shard in range(self.shards.count):
            newest = max(newest, self.arrivals.newest[shard])
            self.arrivals.late_before[shard] = late_from(self.arrivals.newest[shard], self.arrivals.fine_ns)
        return in_order(times, count, newest)

    cdef int apply_to(self, uint32_t shard) noexcept nogil:
        """Apply what waits for a shard, and add up what of it was late; 0, or -1 without memory."""
        return -1
