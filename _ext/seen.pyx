# cython: boundscheck=True
"""Which events were seen before: their 128-bit keys, and generations of those that are remembered."""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from tidal._ext.index cimport mix
from tidal._ext.layout cimport commit, prefetch, release, reserve

cdef enum:
    CELLS_MIN = 1 << 8
    AHEAD = 12              # events between the prefetch of a cell and its use
    KEY_BYTES = 16          # of the key that hashing is done with
    DROPPED = 0             # what becomes of an event: it is a duplicate
    TAKEN = 1               # it is none, and no key was added for it
    ADDED = 2               # it is none, and its key was added


# ------------------------------------------------------------------------------------ the set


# Keys fill at most 7 of 10 cells, 22.9 bytes a key. Capacities need not be powers of two, so that a set that
# is as large as it can become wastes nothing.
cdef inline uint64_t cells_for(uint64_t entries) noexcept nogil:
    return entries * 10 // 7 + 1


cdef extern from * nogil:
    """
    static inline uint64_t tidal_scaled(uint64_t hashed, uint64_t capacity) {
        return (uint64_t)((__uint128_t)hashed * capacity >> 64);
    }
    """
    uint64_t scaled "tidal_scaled"(uint64_t hashed, uint64_t capacity)


cdef inline uint64_t home_of(const KeySet *keys, Key key) noexcept nogil:
    return scaled(mix(key.low ^ keys.seed[0] ^ mix(key.high ^ keys.seed[1])), keys.capacity)


cdef inline bint is_zero(Key key) noexcept nogil:
    return key.low == 0 and key.high == 0


# The cell that holds the key, or the empty one where it would be put.
cdef inline uint64_t cell_of(const KeySet *keys, Key key) noexcept nogil:
    cdef uint64_t at = home_of(keys, key)
    while not is_zero(keys.cells[at]) and (
        keys.cells[at].low != key.low or keys.cells[at].high != key.high
    ):
        at += 1
        if at == keys.capacity:
            at = 0
    return at


cdef bint find_key(const KeySet *keys, Key key) noexcept nogil:
    if is_zero(key):
        return keys.has_zero
    return not is_zero(keys.cells[cell_of(keys, key)])


cdef bint add_key(KeySet *keys, Key key) noexcept nogil:
    cdef uint64_t at
    cdef bint added
    if is_zero(key):
        added = not keys.has_zero
        keys.has_zero = True
        return added
    at = cell_of(keys, key)
    if not is_zero(keys.cells[at]):
        return False
    keys.cells[at] = key
    keys.used += 1
    return True


cdef void remove_last_key(KeySet *keys, Key key) noexcept nogil:
    # No key was added after it, so none lies further along because this cell was taken.
    if is_zero(key):
        keys.has_zero = False
        return
    memset(&keys.cells[cell_of(keys, key)], 0, sizeof(Key))
    keys.used -= 1


cdef int resize(KeySet *keys, uint64_t capacity) noexcept nogil:
    """Move the keys into this many cells; 0, or -1 without memory and unchanged."""
    cdef KeySet larger = keys[0]
    cdef uint64_t i
    cdef size_t size = capacity * sizeof(Key)
    larger.cells = <Key *>reserve(size)
    if larger.cells == NULL:
        return -1
    if commit(larger.cells, size):
        release(larger.cells, size)
        return -1
    larger.capacity = capacity
    # Homes are in the order of the hash at any capacity: both arrays are walked nearly in order.
    for i in range(keys.capacity):
        if not is_zero(keys.cells[i]):
            larger.cells[cell_of(&larger, keys.cells[i])] = keys.cells[i]
    close_keys(keys)
    keys[0] = larger
    return 0


cdef int make_room(KeySet *keys, uint64_t entries, uint64_t entries_max) noexcept nogil:
    """Make room for this many keys, never for more than ``entries_max``; 0, or -1 without memory."""
    cdef uint64_t wanted = cells_for(min(entries, entries_max))
    if wanted <= keys.capacity:
        return 0
    return resize(keys, min(max(wanted, 2 * keys.capacity, <uint64_t>CELLS_MIN), cells_for(entries_max)))


cdef void close_keys(KeySet *keys) noexcept nogil:
    if keys.cells != NULL:
        release(keys.cells, keys.capacity * sizeof(Key))
        keys.cells = NULL


# ------------------------------------------------------------------------------------ generations


cdef struct Rule:
    int64_t horizon     # a generation whose newest event is older than the clock by more is forgotten; or -1
    int64_t clock       # the newest time of all events so far


cdef inline bint is_remembered(int64_t newest, const Rule *rule) noexcept nogil:
    return rule.horizon < 0 or newest >= rule.clock - rule.horizon


cdef class Generation:
    """The keys of one generation of events, and the newest time of them (all of them, also those without a
    key).

    ``events_max``: keys that it will ever hold. ``seed``: 16 bytes. Not safe to share by threads.
    """

    cdef KeySet keys
    cdef uint64_t events_max
    cdef readonly int64_t newest

    def __cinit__(self, uint64_t events_max, bytes seed not None):
        if not 1 <= events_max <= <uint64_t>1 << 40:
            raise ValueError(f"a generation of {events_max} events; choose 1 to 2**40")
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a seed of {len(seed)} bytes; it has {KEY_BYTES}")
        memset(&self.keys, 0, sizeof(KeySet))
        memcpy(self.keys.seed, <const char *>seed, KEY_BYTES)
        self.events_max = events_max
        self.newest = INT64_MIN
        self.ensure(0)

    def __dealloc__(self):
        close_keys(&self.keys)

    def __len__(self):
        return self.keys.used + self.keys.has_zero

    @property
    def nbytes(self):
        """The memory of its cells."""
        return self.keys.capacity * sizeof(Key)

    def __contains__(self, key):
        cdef Key one
        one.low, one.high = key
        return find_key(&self.keys, one)

    def ensure(self, uint64_t more):
        """Make room for this many more keys; MemoryError, with nothing changed, where there is none."""
        cdef int failed
        with nogil:
            failed = make_room(&self.keys, self.keys.used + more, self.events_max)
        if failed:
            raise MemoryError("no memory to remember events for deduplication")

    def add(self, const uint64_t[:, ::1] keys, const uint8_t[::1] keyed, const int64_t[::1] times):
        """Add the keys of events, where ``keyed`` (None: all of them), and note their times."""
        cdef Py_ssize_t i, count = check_lengths(keys, keyed, times)
        cdef Key key
        self.ensure(count)
        for i in range(count):
            if keyed is None or keyed[i]:
                key.low, key.high = keys[i, 0], keys[i, 1]
                add_key(&self.keys, key)
            self.newest = max(self.newest, times[i])

    def admit(
        self, Generation previous, const uint64_t[:, ::1] keys, const uint8_t[::1] keyed,
        const int64_t[::1] times, uint8_t[::1] codes, uint64_t room, int64_t clock, int64_t horizon,
    ):
        """Tell events that were not seen from duplicates, in order, and remember the former.

        ``codes`` gets what becomes of each: 0 it is a duplicate, else it is none. Ends before the first event
        for which there is no ``room`` left, each that is no duplicate taking one. ``clock``: the newest time
        of all events before; ``horizon`` in ns, -1 for none. There must be room for the keys (``ensure``).
        Returns how many events were judged, and the clock after them.
        """
        cdef Py_ssize_t judged, count = check_lengths(keys, keyed, times)
        cdef uint64_t needed
        cdef Rule rule
        cdef KeySet *older = NULL
        if codes.shape[0] != count:
            raise ValueError("codes of another length than the events")
        needed = self.keys.used + min(<uint64_t>count, room)
        if needed > self.events_max or cells_for(needed) > self.keys.capacity:
            raise ValueError("no room for these keys; call ensure() first")
        if count == 0:
            return 0, clock
        rule.horizon, rule.clock = horizon, clock
        if previous is not None and previous.keys.used + previous.keys.has_zero:
            older = &previous.keys
        with nogil:
            judged = admit_events(
                &self.keys, older, previous.newest if older != NULL else 0, <const Key *>&keys[0, 0],
                &keyed[0] if keyed is not None else NULL, &times[0], count, room, &self.newest, &rule,
                &codes[0],
            )
        return judged, rule.clock

    def take_back(
        self, const uint64_t[:, ::1] keys, const uint8_t[::1] codes, Py_ssize_t start, Py_ssize_t stop,
        int64_t newest,
    ):
        """Forget the events from ``start`` to ``stop``, the last that were admitted."""
        cdef Py_ssize_t i
        cdef Key key
        if not 0 <= start <= stop <= min(codes.shape[0], keys.shape[0]):
            raise ValueError(f"events {start} to {stop} of {codes.shape[0]}")
        for i in range(stop - 1, start - 1, -1):  # the last added first
            if codes[i] == ADDED:
                key.low, key.high = keys[i, 0], keys[i, 1]
                remove_last_key(&self.keys, key)
        self.newest = newest


cdef Py_ssize_t admit_events(
    KeySet *current, const KeySet *previous, int64_t previous_newest, const Key *keys, const uint8_t *keyed,
    const int64_t *times, Py_ssize_t count, uint64_t room, int64_t *newest, Rule *rule, uint8_t *codes,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint8_t code
    for i in range(min(<Py_ssize_t>AHEAD, count)):
        prefetch_key(current, previous, keys[i])
    for i in range(count):
        if room == 0:
            return i
        if i + AHEAD < count:
            prefetch_key(current, previous, keys[i + AHEAD])
        code = TAKEN
        if keyed == NULL or keyed[i]:
            if (
                previous != NULL and is_remembered(previous_newest, rule) and find_key(previous, keys[i])
            ):
                code = DROPPED
            elif add_key(current, keys[i]):
                code = ADDED
            elif is_remembered(newest[0], rule):
                code = DROPPED
        codes[i] = code
        if code != DROPPED:
            room -= 1
            newest[0] = max(newest[0], times[i])
            rule.clock = max(rule.clock, times[i])
    return count


cdef inline void prefetch_key(const KeySet *current, const KeySet *previous, Key key) noexcept nogil:
    prefetch(&current.cells[home_of(current, key)])
    if previous != NULL:
        prefetch(&previous.cells[home_of(previous, key)])


cdef Py_ssize_t check_lengths(
    const uint64_t[:, ::1] keys, const uint8_t[::1] keyed, const int64_t[::1] times
) except -1:
    cdef Py_ssize_t count = times.shape[0]
    if keys.shape[0] != count or keys.shape[1] != 2 or (keyed is not None and keyed.shape[0] != count):
        raise ValueError("columns of different lengths")
    return count


# ------------------------------------------------------------------------------------ keys


def siphash128(bytes key not None, bytes message not None):
    """Return the SipHash-2-4-128 of a message as a number: its 16 bytes are little-endian. The key has 16
    bytes.
    """
    cdef uint64_t[2] words
    cdef uint64_t low, high, last
    cdef Py_ssize_t i, whole = len(message) // 8
    key_words(key, words)
    cdef SipHash state = siphash_begin(words[0], words[1])
    for i in range(whole):
        siphash_word(&state, int.from_bytes(message[8 * i : 8 * i + 8], "little"))
    last = int.from_bytes(message[8 * whole :], "little") | <uint64_t>(len(message) & 255) << 56
    siphash_end(&state, last, &low, &high)
    return low | <object>high << 64


cdef int key_words(bytes key, uint64_t *words) except -1:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes; it has {KEY_BYTES}")
    words[0] = int.from_bytes(key[:8], "little")
    words[1] = int.from_bytes(key[8:], "little")
    return 0


cdef struct Optional:
    const uint64_t *values  # NULL: no row has one
    const uint8_t *valid    # NULL: every row has one


cdef Optional optional(const uint64_t[::1] values, const uint8_t[::1] valid, Py_ssize_t count) except *:
    cdef Optional column
    column.values = column.valid = NULL
    if values is None or count == 0:
        return column
    if values.shape[0] != count or (valid is not None and valid.shape[0] != count):
        raise ValueError("columns of different lengths")
    column.values = &values[0]
    if valid is not None:
        column.valid = &valid[0]
    return column


cdef inline bint is_there(Optional column, Py_ssize_t row) noexcept nogil:
    return column.values != NULL and (column.valid == NULL or column.valid[row])


def content_keys(
    bytes key not None, const uint8_t[::1] types, const uint64_t[::1] entities, const uint32_t[::1] weights,
    const int64_t[::1] times, tuple users, tuple sessions, tuple event_ids,
):
    """Return the keyed hash of all fields of each event, uint64[n, 2].

    ``weights`` are the bits of float32. The last three columns are pairs of values and valid (uint8), each
    may be None. Hashed are six words: type, which of the optional fields are there (bits 8 to 10) and weight
    (from bit 32); entity; time; and user, session, event id, 0 where there is none.
    """
    cdef Py_ssize_t i, count = types.shape[0]
    cdef int field
    cdef Optional[3] columns
    cdef uint64_t[2] words
    cdef uint64_t first
    cdef SipHash begun, state
    if entities.shape[0] != count or weights.shape[0] != count or times.shape[0] != count:
        raise ValueError("columns of different lengths")
    columns[0] = optional(users[0], users[1], count)
    columns[1] = optional(sessions[0], sessions[1], count)
    columns[2] = optional(event_ids[0], event_ids[1], count)
    key_words(key, words)
    keys = np.empty((count, 2), np.uint64)
    cdef uint64_t[:, ::1] out = keys
    begun = siphash_begin(words[0], words[1])
    with nogil:
        for i in range(count):
            first = types[i] | <uint64_t>weights[i] << 32
            for field in range(3):
                first |= <uint64_t>is_there(columns[field], i) << (8 + field)
            state = begun
            siphash_word(&state, first)
            siphash_word(&state, entities[i])
            siphash_word(&state, <uint64_t>times[i])
            for field in range(3):
                siphash_word(&state, columns[field].values[i] if is_there(columns[field], i) else 0)
            siphash_end(&state, <uint64_t>48 << 56, &out[i, 0], &out[i, 1])
    return keys
