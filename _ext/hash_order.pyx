# cython: boundscheck=True, wraparound=False
"""The order in which an archive numbers the ids of a dictionary: by their hashes.

So the ids of one shard, and of one part of its index, are neighbours, and a replay finds what it needs side
by side. The ids themselves are stored ascending, which takes fewer bytes; this order follows from them. It
is part of the format (docs/format/archive.md): neither the hash nor a number here changes.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from tidal._ext.index cimport mix

cdef enum:
    RUN_MIN = 8192          # words of an ascending run that are worth it
    HIGH_BITS = 10          # of the hash, after
    LOW_BITS = 3            # the highest of its low half, which says which shard
    BUCKETS = 1 << (LOW_BITS + HIGH_BITS)
    WORDS_MAX = 1 << 24

SORTED_RUN_MIN = RUN_MIN


cdef inline uint32_t bucket_of(uint64_t word) noexcept nogil:
    cdef uint64_t hashed = mix(word)
    return <uint32_t>((<uint32_t>hashed >> (32 - LOW_BITS)) << HIGH_BITS | hashed >> (64 - HIGH_BITS))


cdef void sort_run(
    const uint64_t *words, uint32_t count, uint16_t *buckets, uint64_t *words_out
) noexcept nogil:
    """By bucket; words of one bucket stay in their order."""
    cdef uint32_t[BUCKETS] places
    cdef uint32_t i, size, bucket, place = 0
    memset(places, 0, sizeof(places))
    for i in range(count):
        buckets[i] = <uint16_t>bucket_of(words[i])
        places[buckets[i]] += 1
    for bucket in range(BUCKETS):
        size = places[bucket]
        places[bucket] = place
        place += size
    for i in range(count):
        words_out[places[buckets[i]]] = words[i]
        places[buckets[i]] += 1


def in_hash_order(const uint64_t[::1] words):
    """Return the words, those of each ascending run of SORTED_RUN_MIN and more by hash.

    None where no run is so long: then they are as they should be.
    """
    cdef Py_ssize_t count = words.shape[0], start = 0, stop
    if not 1 <= count <= WORDS_MAX:
        raise ValueError(f"{count} words; there are 1 to {WORDS_MAX}")
    cdef uint64_t[::1] out = None
    cdef uint16_t[::1] buckets = None
    while start < count:
        stop = start + 1
        while stop < count and words[stop - 1] <= words[stop]:
            stop += 1
        if stop - start >= RUN_MIN:
            if out is None:
                ordered = np.array(words)
                out, buckets = ordered, np.empty(count, np.uint16)
            with nogil:
                sort_run(&words[start], <uint32_t>(stop - start), &buckets[0], &out[start])
        start = stop
    return None if out is None else ordered
