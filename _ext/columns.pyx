# cython: boundscheck=True, wraparound=False
"""Columns of events as 64-bit words, and the transforms that make them small.

A zstd frame finds little in rows of integers, and much in *byte planes*: the lowest bytes of all
words, then the next, and so on up to the highest byte that is ever used. Sorted and slowly moving
columns (times, sessions) are first turned into *zigzag differences*: 0, -1, 1, -2 become 0, 1, 2, 3.
Hashed ids have 64 random bits and neither helps; a *dictionary* of the distinct ones does.

The functions that take bytes check every length before a kernel touches them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX
from libc.string cimport memset

import numpy as np

from tidal._ext.vectors cimport (
    are_equal, in_order, join_planes, largest_of, sum_deltas, time_range, unzigzag, weights_of_codes,
)

# Words that a kernel handles at once, so that a block stays in the first-level cache between planes.
cdef enum:
    BLOCK = 512
    SAMPLE_RUN = 64            # measure_words samples runs, because differences need neighbours
    SAMPLE_STRIDE = 2048
    PROBES_PER_WORD = 8        # a dictionary that needs more is being attacked, or is useless
    WHOLE_MAX = 1 << 24        # a float32 holds each integer up to here
    DISTINCT_MAX = 1 << 24

WHOLE_WEIGHT_MAX = WHOLE_MAX


# ------------------------------------------------------------------------------------ kernels


cdef inline uint64_t zigzag(uint64_t difference) noexcept nogil:
    return (difference << 1) ^ (0 - (difference >> 63))


cdef inline uint64_t unzigzag_word(uint64_t code) noexcept nogil:
    return (code >> 1) ^ (0 - (code & 1))


cdef inline int bit_length(uint64_t value) noexcept nogil:
    cdef int bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


cdef void split_words(
    const uint64_t *words, Py_ssize_t count, int width, uint8_t *planes_out
) noexcept nogil:
    cdef Py_ssize_t block, start, i, size
    cdef int plane, shift
    cdef uint8_t *out
    for block in range((count + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        size = min(<Py_ssize_t>BLOCK, count - start)
        for plane in range(width):
            shift = 8 * plane
            out = planes_out + plane * count + start
            for i in range(size):
                out[i] = <uint8_t>(words[start + i] >> shift)


cdef void split_deltas(
    const uint64_t *words, Py_ssize_t count, int width, uint8_t *planes_out
) noexcept nogil:
    cdef uint64_t codes[BLOCK]
    cdef Py_ssize_t block, start, i, size
    cdef uint64_t before = words[0]
    cdef int plane, shift
    cdef uint8_t *out
    for block in range((count + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        size = min(<Py_ssize_t>BLOCK, count - start)
        codes[0] = zigzag(words[start] - before)
        for i in range(1, size):
            codes[i] = zigzag(words[start + i] - words[start + i - 1])
        before = words[start + size - 1]
        for plane in range(width):
            shift = 8 * plane
            out = planes_out + plane * count + start
            for i in range(size):
                out[i] = <uint8_t>(codes[i] >> shift)


cdef void join_words(const uint8_t *planes, Py_ssize_t count, int width, uint64_t *words_out) noexcept nogil:
    cdef uint32_t[BLOCK] part
    cdef Py_ssize_t start = 0, i, size
    while start < count:
        size = min(<Py_ssize_t>BLOCK, count - start)
        join_planes(planes + start, count, min(width, 4), size, part)
        for i in range(size):
            words_out[start + i] = part[i]
        if width > 4:
            join_planes(planes + 4 * count + start, count, width - 4, size, part)
            for i in range(size):
                words_out[start + i] |= <uint64_t>part[i] << 32
        start += BLOCK


cdef void join_deltas(
    const uint8_t *planes, Py_ssize_t count, int width, uint64_t base, uint64_t *words_out
) noexcept nogil:
    cdef uint32_t[BLOCK] codes
    cdef Py_ssize_t start = 0, i, size
    if width > 4:
        join_words(planes, count, width, words_out)
        for i in range(count):
            base += unzigzag_word(words_out[i])
            words_out[i] = base
        return
    while start < count:
        size = min(<Py_ssize_t>BLOCK, count - start)
        join_planes(planes + start, count, width, size, codes)
        unzigzag(codes, size)
        base = sum_deltas(<const int32_t *>codes, size, base, &words_out[start])
        start += BLOCK


cdef void measure_words(const uint64_t *words, Py_ssize_t count, Spread *spread_out) noexcept nogil:
    cdef uint64_t value_or = words[0], delta_or = 0
    cdef uint64_t value_bits = 0, delta_bits = 0, sampled = 0
    cdef Py_ssize_t i, start
    for i in range(1, count):
        value_or |= words[i]
        delta_or |= zigzag(words[i] - words[i - 1])
    start = 1
    while start < count:
        for i in range(start, min(start + <Py_ssize_t>SAMPLE_RUN, count)):
            value_bits += bit_length(words[i])
            delta_bits += bit_length(zigzag(words[i] - words[i - 1]))
            sampled += 1
        start += SAMPLE_STRIDE
    spread_out.value_or, spread_out.delta_or = value_or, delta_or
    spread_out.value_bits, spread_out.delta_bits, spread_out.sampled = value_bits, delta_bits, sampled


cdef inline uint64_t cell_of(
    uint64_t word, const uint32_t *table, int table_bits, const uint64_t *values, int64_t *probes_left
) noexcept nogil:
    """The cell of a table of codes + 1 that holds a word's, or the empty one where it belongs."""
    cdef uint64_t mask = (<uint64_t>1 << table_bits) - 1
    cdef uint64_t cell = (word * <uint64_t>0x9E3779B97F4A7C15) >> (64 - table_bits)
    while table[cell] and values[table[cell] - 1] != word and probes_left[0] >= 0:
        cell = (cell + 1) & mask
        probes_left[0] -= 1
    return cell


cdef Py_ssize_t count_distinct(
    const uint64_t *words, Py_ssize_t count, Py_ssize_t limit, Py_ssize_t found,
    uint32_t *table, int table_bits, uint64_t *values, uint32_t *times
) noexcept nogil:
    # Adds to the distinct words found before. Returns how many there are now, or -1 as find_distinct().
    cdef Py_ssize_t i
    cdef int64_t probes_left = PROBES_PER_WORD * <int64_t>count
    cdef uint64_t cell
    for i in range(count):
        cell = cell_of(words[i], table, table_bits, values, &probes_left)
        if probes_left < 0 or (not table[cell] and found == limit):
            return -1
        if not table[cell]:
            values[found] = words[i]
            found += 1
            table[cell] = <uint32_t>found
        times[table[cell] - 1] += 1
    return found


cdef bint find_codes(
    const uint64_t *words, Py_ssize_t count, const uint32_t *table, int table_bits, const uint64_t *values,
    uint32_t *codes_out
) noexcept nogil:
    # Returns whether all were known.
    cdef Py_ssize_t i
    cdef int64_t probes_left = INT64_MAX
    cdef uint64_t cell
    cdef bint known = True
    for i in range(count):
        cell = cell_of(words[i], table, table_bits, values, &probes_left)
        known = known and table[cell] != 0
        codes_out[i] = table[cell] - 1
    return known


cdef Py_ssize_t find_distinct(
    const uint64_t *words, Py_ssize_t count, Py_ssize_t limit,
    uint32_t *table, int table_bits, uint64_t *values_out, uint32_t *codes_out,
) noexcept nogil:
    # Returns how many distinct words there are, or -1 for more than the limit or too many probes.
    # table has 2**table_bits zeroed cells that hold a code + 1.
    cdef Py_ssize_t i, found = 0
    cdef int64_t probes_left = PROBES_PER_WORD * <int64_t>count
    cdef uint64_t cell
    for i in range(count):
        cell = cell_of(words[i], table, table_bits, values_out, &probes_left)
        if probes_left < 0:
            return -1
        if not table[cell]:
            if found == limit:
                return -1
            values_out[found] = words[i]
            found += 1
            table[cell] = <uint32_t>found
        codes_out[i] = table[cell] - 1
    return found


# ------------------------------------------------------------------------------------ checked entrances


cdef int _check_planes(Py_ssize_t have, Py_ssize_t count, int width) except -1:
    if not 1 <= width <= 8:
        raise ValueError(f"{width} byte planes; a word has 1 to 8")
    if count < 1:
        raise ValueError(f"{count} words; a column has at least one")
    if have >= 0 and (have % width or have // width != count):
        raise ValueError(f"{have} bytes are not {width} planes of {count} words")
    return 0


def measure(const uint64_t[::1] words):
    """Return the OR of the words, the OR of their zigzag differences, and the mean bits of each (sampled)."""
    cdef Spread spread
    _check_planes(-1, words.shape[0], 1)
    with nogil:
        measure_words(&words[0], words.shape[0], &spread)
    sampled = spread.sampled or 1  # a single word has no neighbour to sample
    return spread.value_or, spread.delta_or, spread.value_bits / sampled, spread.delta_bits / sampled


def split(const uint64_t[::1] words, int width):
    """Return the low ``width`` byte planes of the words, lowest first."""
    cdef Py_ssize_t count = words.shape[0]
    _check_planes(-1, count, width)
    planes = PyBytes_FromStringAndSize(NULL, count * width)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(planes)
    with nogil:
        split_words(&words[0], count, width, out)
    return planes


def split_delta(const uint64_t[::1] words, int width):
    """Return the byte planes of each word's zigzag difference to the one before; the first is 0."""
    cdef Py_ssize_t count = words.shape[0]
    _check_planes(-1, count, width)
    planes = PyBytes_FromStringAndSize(NULL, count * width)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(planes)
    with nogil:
        split_deltas(&words[0], count, width, out)
    return planes


def join(const uint8_t[::1] planes, Py_ssize_t count, int width):
    """Return the words that split() took apart; ValueError unless the planes have exactly that length."""
    _check_planes(planes.shape[0], count, width)
    words = np.empty(count, np.uint64)
    cdef uint64_t[::1] out = words
    with nogil:
        join_words(&planes[0], count, width, &out[0])
    return words


def join_delta(const uint8_t[::1] planes, Py_ssize_t count, int width, uint64_t base):
    """Return the words that split_delta() took apart, the first of which is ``base``."""
    _check_planes(planes.shape[0], count, width)
    words = np.empty(count, np.uint64)
    cdef uint64_t[::1] out = words
    with nogil:
        join_deltas(&planes[0], count, width, base, &out[0])
    return words


def distinct(const uint64_t[::1] words, uint32_t limit):
    """Return the distinct words as they appear, and each word's position there; None beyond the limit."""
    cdef Py_ssize_t count = words.shape[0], found
    _check_planes(-1, count, 1)
    if not 1 <= limit <= 1 << 20:
        raise ValueError(f"limit {limit} is not in 1 .. 2**20")
    cdef int table_bits = (2 * <int>limit).bit_length()
    cdef uint32_t[::1] table = np.zeros(1 << table_bits, np.uint32)
    values, codes = np.empty(limit, np.uint64), np.empty(count, np.uint32)
    cdef uint64_t[::1] values_out = values
    cdef uint32_t[::1] codes_out = codes
    with nogil:
        found = find_distinct(&words[0], count, limit, &table[0], table_bits, &values_out[0], &codes_out[0])
    return None if found < 0 else (values[:found], codes)


def join_places(const uint8_t[::1] planes, Py_ssize_t count, int width, Py_ssize_t size):
    """Return the places in a dictionary of ``size`` words that split() took apart, uint32[n].

    ValueError for one beyond its end.
    """
    cdef uint32_t largest
    if width > 4:
        raise ValueError(f"{width} byte planes; a place in a dictionary has 1 to 4")
    _check_planes(planes.shape[0], count, width)
    places = np.empty(count, np.uint32)
    cdef uint32_t[::1] out = places
    with nogil:
        join_planes(&planes[0], count, width, count, &out[0])
        largest = largest_of(&out[0], count)
    if largest >= size:
        raise ValueError(f"place {largest} in a dictionary of {size} words")
    return places


cdef class Distinct:
    """The distinct words of many columns: each gets a code, in the order of their first appearance.

    ``limit``: how many there may be. Past it, or where words were chosen to collide, add() returns False, and
    this is of no use any more.
    """

    cdef uint32_t[::1] table        # cells of a code + 1
    cdef uint64_t[::1] words
    cdef uint32_t[::1] times
    cdef int table_bits
    cdef Py_ssize_t count
    cdef bint failed

    def __cinit__(self, uint32_t limit):
        if not 1 <= limit <= DISTINCT_MAX:
            raise ValueError(f"limit {limit} is not in 1 .. 2**24")
        self.table_bits = (2 * <int>limit).bit_length()
        self.table = np.zeros(1 << self.table_bits, np.uint32)
        self.words = np.empty(limit, np.uint64)
        self.times = np.zeros(limit, np.uint32)

    def __len__(self):
        return self.count

    @property
    def values(self):
        """The words by code, uint64[n]."""
        return np.asarray(self.words)[: self.count].copy()

    @property
    def counts(self):
        """How often each was added, uint32[n]."""
        return np.asarray(self.times)[: self.count].copy()

    def add(self, const uint64_t[::1] words):
        """Take in the words of a column; return whether there was room for all."""
        cdef Py_ssize_t count = words.shape[0], found
        if count and not self.failed:
            with nogil:
                found = count_distinct(
                    &words[0], count, self.words.shape[0], self.count, &self.table[0], self.table_bits,
                    &self.words[0], &self.times[0])
            self.failed = found < 0
            self.count = max(found, self.count)
        return not self.failed

    def codes(self, const uint64_t[::1] words):
        """Return the code of each word, uint32[n]; ValueError for a word that was not added."""
        cdef Py_ssize_t count = words.shape[0]
        cdef bint known = True
        found = np.empty(count, np.uint32)
        cdef uint32_t[::1] out = found
        if count:
            with nogil:
                known = find_codes(
                    &words[0], count, &self.table[0], self.table_bits, &self.words[0], &out[0])
        if not known:
            raise ValueError("a word that was not added")
        return found


def whole_weights(const float[::1] weights):
    """Return zigzag integers equal to the weights, or None if one is no integer up to 2**24 (or is -0.0)."""
    cdef Py_ssize_t i, count = weights.shape[0]
    cdef bint whole = True
    cdef float weight
    cdef int32_t integer
    words = np.empty(count, np.uint64)
    cdef uint64_t[::1] out = words
    _check_planes(-1, count, 1)
    cdef const float *source = &weights[0]
    cdef const uint32_t *bits = <const uint32_t *>source
    cdef uint64_t *target = &out[0]
    with nogil:
        for i in range(count):
            weight = source[i]
            if not -WHOLE_MAX <= weight <= WHOLE_MAX or bits[i] == <uint32_t>0x80000000:
                whole = False
                break
            integer = <int32_t>weight
            if <float>integer != weight:
                whole = False
                break
            target[i] = zigzag(<uint64_t><int64_t>integer)
    return words if whole else None


def weights_of_whole(const uint64_t[::1] words):
    """Return the float32 weights of whole_weights(); ValueError for an integer that it would not write."""
    cdef Py_ssize_t i, count = words.shape[0]
    cdef uint64_t largest = 0
    weights = np.empty(count, np.float32)
    cdef float[::1] out = weights
    _check_planes(-1, count, 1)
    cdef const uint64_t *source = &words[0]
    cdef float *target = &out[0]
    with nogil:
        for i in range(count):
            largest |= source[i]
            target[i] = <float><int64_t>unzigzag_word(source[i])
    if largest > 2 * WHOLE_MAX and int(np.max(words)) > 2 * WHOLE_MAX:
        raise ValueError("a whole weight is beyond 2**24")
    return weights


def weights_of_plane(const uint8_t[::1] plane, Py_ssize_t count):
    """weights_of_whole() of the words in one byte plane: most weights are small numbers."""
    _check_planes(plane.shape[0], count, 1)
    weights = np.empty(count, np.float32)
    cdef float[::1] out = weights
    with nogil:
        weights_of_codes(&plane[0], count, &out[0])
    return weights


def all_equal(const uint8_t[::1] values):
    """Return whether all the values are the same."""
    return values.shape[0] == 0 or are_equal(&values[0], values.shape[0])


def summarise(const int64_t[::1] times, const uint8_t[::1] types):
    """Return the smallest and the largest time, and the set of types as 32 bytes (bit t of byte t // 8)."""
    cdef Py_ssize_t i, count = times.shape[0]
    cdef int64_t low, high
    cdef uint8_t seen[256]
    cdef uint8_t type_set[32]
    _check_planes(-1, count, 1)
    if types.shape[0] != count:
        raise ValueError(f"{count} times and {types.shape[0]} types; columns have one length")
    cdef const int64_t *time = &times[0]
    cdef const uint8_t *type_id = &types[0]
    with nogil:
        if in_order(time, count):  # as most are: sooner seen than the smallest and the largest are found
            low, high = time[0], time[count - 1]
        else:
            time_range(time, count, &low, &high)
        memset(seen, 0, 256)
        memset(type_set, 0, 32)
        seen[type_id[0]] = 1
        for i in range(1, 1 if are_equal(type_id, count) else count):
            seen[type_id[i]] = 1
        for i in range(256):
            type_set[i >> 3] |= <uint8_t>(seen[i] << (i & 7))
    return low, high, PyBytes_FromStringAndSize(<char *>type_set, 32)
