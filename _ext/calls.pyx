"""The calls that are made a million times, without a line of Python on their usual way.

Each method here takes its usual form (one entity by its id, the present) to the shards directly, and hands
every other form, and every doubt, to the general method that it was made with. So there are no rules here:
what is refused, and how, is known there alone.
"""

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from tidal._ext.shards cimport ShardSet

cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLong(object) except? 0xFFFFFFFFFFFFFFFF


cdef int64_t wall_clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


# An id in its usual form: a plain int of 64 bits. Anything else is not an error here.
cdef bint as_id(object entity_id, uint64_t *id_out) except -1:
    if type(entity_id) is not int:
        return False
    try:
        id_out[0] = PyLong_AsUnsignedLongLong(entity_id)
    except OverflowError:
        return False
    return True


cdef class Counter:
    """The sequence of a log in memory. Every change is one step under the interpreter's lock."""

    cdef readonly int64_t last

    def __cinit__(self, int64_t last=0):
        self.last = last

    def take(self, int64_t count):
        """Return the first and last of the next ``count`` sequences."""
        self.last += count
        return self.last - count + 1, self.last


cdef class ReadCalls:
    """score() and count() of the present, by the system's clock.

    ``tables``: signal name -> ShardSet. ``windows``: signal name -> {window: position}, of those it keeps.
    """

    cdef dict tables, windows
    cdef object general_score, general_count
    cdef bint usable

    def __cinit__(self, dict tables not None, dict windows not None, general_score, general_count):
        self.tables, self.windows = tables, windows
        self.general_score, self.general_count = general_score, general_count
        self.usable = True

    def stop(self):
        """From here on the general methods answer everything."""
        self.usable = False

    def score(self, signal, entity_id, *, half_life=None, at=None):
        """As TidalDb.score()."""
        cdef uint64_t identifier = 0
        cdef object shards
        if self.usable and half_life is None and at is None and as_id(entity_id, &identifier):
            if type(signal) is str:
                shards = self.tables.get(signal)
                if shards is not None:
                    return (<ShardSet>shards).score_one(identifier, 0, wall_clock())
        return self.general_score(signal, entity_id, half_life=half_life, at=at)

    def count(self, signal, entity_id, window, *, at=None):
        """As TidalDb.count()."""
        cdef uint64_t identifier = 0
        cdef object position
        if self.usable and at is None and as_id(entity_id, &identifier):
            if type(signal) is str and type(window) is str and signal in self.windows:
                position = (<dict>self.windows[signal]).get(window)
                if position is not None:
                    return (<ShardSet>self.tables[signal]).count_one(identifier, position, wall_clock(), True)
        return self.general_count(signal, entity_id, window, at=at)


cdef class WriteCalls:
    """signal() in memory: an event of now, of one entity, whose log is a Counter.

    ``signed``: the names of signal types that take negative weights.
    """

    cdef dict tables
    cdef frozenset signed
    cdef Counter log
    cdef object general
    cdef bint usable

    def __cinit__(self, dict tables not None, frozenset signed not None, Counter log not None, general):
        self.tables, self.signed, self.log, self.general = tables, signed, log, general
        self.usable = True

    def stop(self):
        """From here on the general method answers everything."""
        self.usable = False

    def signal(self, signal, entity_id, weight=1.0, *, timestamp=None, user_id=None, session_id=None,
               event_id=None):
        """As TidalDb.signal()."""
        cdef uint64_t identifier = 0
        cdef float rounded
        cdef object shards
        if (self.usable and type(weight) is float and type(signal) is str and timestamp is None
                and user_id is None and session_id is None and event_id is None
                and as_id(entity_id, &identifier)):
            shards = self.tables.get(signal)
            rounded = <float><double>weight
            # -0.0 is made 0.0 by the addition.
            if shards is not None and isfinite(rounded) and (rounded >= 0 or signal in self.signed):
                (<ShardSet>shards).add_one(identifier, rounded + <float>0.0, wall_clock())
                self.log.last += 1
                return self.log.last
        return self.general(
            signal, entity_id, weight, timestamp=timestamp, user_id=user_id, session_id=session_id,
            event_id=event_id)
