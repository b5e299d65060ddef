"""A set of 128-bit keys of events: open addressing, in which keys are found and added by the batch."""

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef struct Key:
    uint64_t low
    uint64_t high


cdef struct KeySet:
    Key *cells          # all zero: empty
    uint64_t capacity   # cells
    uint64_t used       # keys, the one of zeros not among them
    uint64_t seed[2]    # where keys lie depends on it, so nobody outside can pile them up in one place
    bint has_zero       # whether the key of zeros is a member: a cell cannot say so

cdef bint find_key(const KeySet *keys, Key key) noexcept nogil
cdef bint add_key(KeySet *keys, Key key) noexcept nogil         # True: it was not there
cdef void remove_last_key(KeySet *keys, Key key) noexcept nogil  # of the keys that are there, the last added
cdef int make_room(KeySet *keys, uint64_t entries, uint64_t entries_max) noexcept nogil


cdef extern from "siphash.h" nogil:
    ctypedef struct SipHash "tidal_siphash":
        pass

    SipHash siphash_begin "tidal_siphash_begin"(uint64_t key0, uint64_t key1)
    void siphash_word "tidal_siphash_word"(SipHash *state, uint64_t word)
    void siphash_end "tidal_siphash_end"(SipHash *state, uint64_t last, uint64_t *low, uint64_t *high)
