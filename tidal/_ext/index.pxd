"""Entity id -> slot: open addressing over cells of 8 bytes; the full key is in the record itself."""

from libc.stdint cimport uint32_t, uint64_t

from tidal._ext.layout cimport HotRecord, Lock

cdef enum:
    NOT_FOUND = 0xFFFFFFFF

cdef struct Index:
    uint64_t *cells   # (hash, high 32 bits) << 32 | slot + 1; 0 is empty
    uint32_t bits     # there are 1 << bits cells
    uint32_t used

cdef int index_open(Index *index) noexcept nogil
cdef int index_ensure(Index *index, uint64_t entries, Lock *readers) noexcept nogil
cdef void index_close(Index *index) noexcept nogil


cdef extern from * nogil:
    """
    /* One 64 x 64 -> 128 bit multiplication, folded. */
    static inline uint64_t tidal_mix(uint64_t id) {
        __uint128_t product = (__uint128_t)(id ^ 0x9e3779b97f4a7c15u) * 0xd1342543de82ef95u;
        uint64_t folded = (uint64_t)(product >> 64) ^ (uint64_t)product;
        return folded ^ (folded >> 29);
    }
    """
    uint64_t mix "tidal_mix"(uint64_t entity_id)


# The low half of the hash says which shard; the index within a shard uses the high half.
cdef inline uint32_t shard_of_hash(uint64_t hashed, uint32_t shard_count) noexcept nogil:
    return <uint32_t>(<uint64_t><uint32_t>hashed * shard_count >> 32)


# A cell's home is the top bits of its tag, so growing the index needs the old cells only, not the records.
cdef inline uint32_t tag_of(uint64_t hashed) noexcept nogil:
    return <uint32_t>(hashed >> 32)


cdef inline uint64_t home_of(const Index *index, uint32_t tag) noexcept nogil:
    return tag >> (32 - index.bits)


# The slot in a cell, NOT_FOUND where it is empty.
cdef inline uint32_t slot_in(const Index *index, uint64_t at) noexcept nogil:
    return <uint32_t>index.cells[at] - 1


# Where the first cell with this tag is, or the empty one before which there is none.
cdef inline uint64_t index_first(const Index *index, uint32_t tag) noexcept nogil:
    cdef uint64_t mask = (<uint64_t>1 << index.bits) - 1
    cdef uint64_t at = home_of(index, tag)
    cdef uint64_t cell = index.cells[at]
    while cell != 0 and <uint32_t>(cell >> 32) != tag:
        at = (at + 1) & mask
        cell = index.cells[at]
    return at


# The slot of the first cell with this tag: nearly always the right one. The caller compares the key in
# the record.
cdef inline uint32_t index_guess(const Index *index, uint32_t tag) noexcept nogil:
    return slot_in(index, index_first(index, tag))


# Where the cell of an id is, or the empty one that it would get; it is in none before ``at``.
cdef inline uint64_t index_seek(
    const Index *index, uint64_t at, uint32_t tag, uint64_t entity_id, const HotRecord *rows
) noexcept nogil:
    cdef uint64_t mask = (<uint64_t>1 << index.bits) - 1
    cdef uint64_t cell = index.cells[at]
    while cell != 0 and (<uint32_t>(cell >> 32) != tag or rows[<uint32_t>cell - 1].entity_id != entity_id):
        at = (at + 1) & mask
        cell = index.cells[at]
    return at


cdef inline uint32_t index_find(
    const Index *index, uint32_t tag, uint64_t entity_id, const HotRecord *rows
) noexcept nogil:
    return slot_in(index, index_seek(index, home_of(index, tag), tag, entity_id, rows))


# Fill the empty cell that index_seek() found. There must be room (index_ensure).
cdef inline void index_fill(Index *index, uint64_t at, uint32_t tag, uint32_t slot) noexcept nogil:
    index.cells[at] = <uint64_t>tag << 32 | (slot + 1)
    index.used += 1


# The id must not be in the index yet, and there must be room (index_ensure).
cdef inline void index_insert(Index *index, uint32_t tag, uint32_t slot) noexcept nogil:
    cdef uint64_t mask = (<uint64_t>1 << index.bits) - 1
    cdef uint64_t at = home_of(index, tag)
    while index.cells[at] != 0:
        at = (at + 1) & mask
    index_fill(index, at, tag, slot)
