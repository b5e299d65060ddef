"""Events dealt out to shards, and within a shard to the parts of its index that fit the cache."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from tidal._ext.decay cimport Events

cdef enum:
    SHARDS_MAX = 256
    HANDS_MAX = 256
    HANDS = 64              # shards, times the parts of each: as many rows of memory are written in turns

# Events as a caller has them, in order; at least one.
cdef struct Piece:
    Events events
    int64_t count

cdef struct Deal:
    uint64_t *entity_ids    # of all events, shard after shard
    int64_t *times
    float *weights
    Events events           # the same, to be read
    uint8_t *homes          # of each event, in the order in which they came: its shard and part
    uint32_t shards
    bint gathered           # by entity, too
    uint32_t part_bits      # there are 1 << part_bits parts of each shard
    int64_t ends[HANDS_MAX]     # of each part, shard after shard

cdef int open_deal(Deal *deal, int64_t room, uint32_t shards, bint gathered) noexcept nogil
cdef void close_deal(Deal *deal) noexcept nogil
cdef int64_t newest_of(const Piece *piece) noexcept nogil
cdef bint in_order(const Piece *pieces, int64_t count, int64_t earliest) noexcept nogil
cdef void deal_out(Deal *deal, const Piece *pieces, int64_t count) noexcept nogil


# Events without the first so many.
cdef inline Events events_from(Events events, int64_t start) noexcept nogil:
    events.entity_ids += start
    events.weights += start
    events.times += start
    return events


# Where the events of a part end, and those of the next one begin.
cdef inline int64_t end_of(const Deal *deal, uint32_t shard, uint32_t part) noexcept nogil:
    return deal.ends[(shard << deal.part_bits) + part]


cdef inline int64_t begin_of(const Deal *deal, uint32_t shard) noexcept nogil:
    return end_of(deal, shard - 1, (1 << deal.part_bits) - 1) if shard else 0
