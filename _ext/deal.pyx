"""Events dealt out to shards, and within a shard to the parts of its index that fit the cache."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from tidal._ext.index cimport mix, shard_of_hash, tag_of


cdef int open_deal(Deal *deal, int64_t room, uint32_t shards, bint gathered) noexcept nogil:
    """Make room for so many events; 0, or -1 without memory.

    ``gathered``: within a shard, events are sorted by parts of its index, so that the cells and records of a
    part fit the cache together, for as long as its events last.
    """
    memset(deal, 0, sizeof(Deal))
    deal.shards, deal.gathered = shards, gathered
    while gathered and shards << deal.part_bits + 1 <= HANDS:
        deal.part_bits += 1
    deal.entity_ids = <uint64_t *>malloc(room * sizeof(uint64_t))
    deal.times = <int64_t *>malloc(room * sizeof(int64_t))
    deal.weights = <float *>malloc(room * sizeof(float))
    deal.homes = <uint8_t *>malloc(room)
    if deal.entity_ids == NULL or deal.times == NULL or deal.weights == NULL or deal.homes == NULL:
        close_deal(deal)
        return -1
    deal.events.entity_ids, deal.events.weights = deal.entity_ids, deal.weights
    deal.events.times = deal.times
    return 0


cdef void close_deal(Deal *deal) noexcept nogil:
    free(deal.entity_ids)
    free(deal.times)
    free(deal.weights)
    free(deal.homes)
    memset(deal, 0, sizeof(Deal))


cdef void deal_out(Deal *deal, const Piece *pieces, int64_t count) noexcept nogil:
    """Sort the events of some pieces by shard, then by the part of its index; in order within each, so that
    those of one entity stay in order.
    """
    cdef int64_t[HANDS_MAX] places
    cdef int64_t place, next_place = 0, i
    cdef uint8_t *homes = deal.homes
    cdef uint32_t hand
    memset(places, 0, sizeof(places))
    for i in range(count):
        find_homes(deal, &pieces[i], homes, places)
        homes += pieces[i].count
    for hand in range(deal.shards << deal.part_bits):
        place = places[hand]
        places[hand] = next_place
        next_place += place
    homes = deal.homes
    for i in range(count):
        move_home(deal, &pieces[i], homes, places)
        homes += pieces[i].count
    memcpy(deal.ends, places, sizeof(places))  # each place has come to its end


cdef void find_homes(const Deal *deal, const Piece *piece, uint8_t *homes_out, int64_t *sizes) noexcept nogil:
    cdef const uint64_t *entity_ids = piece.events.entity_ids
    cdef uint32_t hand, shards = deal.shards, bits = deal.part_bits
    cdef uint64_t hashed
    cdef int64_t i
    for i in range(piece.count):
        hashed = mix(entity_ids[i])
        hand = shard_of_hash(hashed, shards) << bits | <uint32_t>(<uint64_t>tag_of(hashed) >> (32 - bits))
        homes_out[i] = <uint8_t>hand
        sizes[hand] += 1


cdef void move_home(Deal *deal, const Piece *piece, const uint8_t *homes, int64_t *places) noexcept nogil:
    cdef uint64_t *entity_ids = deal.entity_ids
    cdef float *weights = deal.weights
    cdef int64_t *times = deal.times
    cdef Events events = piece.events
    cdef int64_t i, place
    for i in range(piece.count):
        place = places[homes[i]]
        places[homes[i]] = place + 1
        entity_ids[place] = events.entity_ids[i]
        weights[place] = events.weights[i]
        times[place] = events.times[i]


cdef int64_t newest_of(const Piece *piece) noexcept nogil:
    """The newest time of events, of which there is one at least."""
    cdef int64_t newest = piece.events.times[0], i
    for i in range(1, piece.count):
        newest = max(newest, piece.events.times[i])
    return newest


cdef bint in_order(const Piece *pieces, int64_t count, int64_t earliest) noexcept nogil:
    """Whether no event is older than the one before it, or than this time."""
    cdef const int64_t *times
    cdef int64_t i, j
    cdef bint back = False
    for i in range(count):
        times = pieces[i].events.times
        back |= times[0] < earliest
        for j in range(1, pieces[i].count):
            back |= times[j] < times[j - 1]
        if back:
            return False
        earliest = times[pieces[i].count - 1]
    return True
