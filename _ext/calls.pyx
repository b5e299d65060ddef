"""The calls that are made a million times, without a line of Python on their usual way.

Each method here takes its usual form (one entity by its id, the present) to the shards directly, and hands
every other form, and every doubt, to the general method that it was made with. So there are no rules here:
what is refused, and how, is known there alone.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

import numpy as np

from tidal._ext.shards cimport ShardSet, wall_clock

cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLong(object) except? 0xFFFFFFFFFFFFFFFF


# An id in its usual form: a plain int of 64 bits. Anything else is not an error here.
cdef bint as_id(object entity_id, uint64_t *id_out) except -1:
    if type(entity_id) is not int:
        return False
    try:
        id_out[0] = PyLong_AsUnsignedLongLong(entity_id)
    except OverflowError:
        return False
    return True


cdef object new_array = np.empty
cdef object array_type = np.ndarray


cdef object scores_now(ShardSet shards, object ids):
    """The scores of ids in a usual form, a list of ints or an array of uint64; None for any other."""
    if type(ids) is list:
        return scores_of_list(shards, <list>ids)
    if type(ids) is array_type:
        return scores_of_array(shards, ids)
    return None


cdef object scores_of_list(ShardSet shards, list ids):
    cdef Py_ssize_t i, count = len(ids)
    cdef uint64_t *identifiers = <uint64_t *>malloc(max(<size_t>1, count * sizeof(uint64_t)))
    if identifiers == NULL:
        raise MemoryError(f"no memory for {count} ids")
    try:
        for i in range(count):
            if not as_id(ids[i], &identifiers[i]):
                return None
        return scores_of_ids(shards, identifiers, count)
    finally:
        free(identifiers)


cdef object scores_of_array(ShardSet shards, object ids):
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(ids, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    except (BufferError, ValueError):  # with gaps, or of a type that buffers do not have
        return None
    try:
        if view.ndim != 1 or view.itemsize != sizeof(uint64_t) or view.format[0] not in b"LQ":
            return None
        return scores_of_ids(shards, <const uint64_t *>view.buf, view.shape[0])
    finally:
        PyBuffer_Release(&view)


cdef object scores_of_ids(ShardSet shards, const uint64_t *ids, Py_ssize_t count):
    cdef Py_buffer view
    cdef int64_t now = wall_clock()
    scores = new_array(count)
    PyObject_GetBuffer(scores, &view, PyBUF_WRITABLE)
    with nogil:
        shards.read_scores(ids, count, 0, now, <double *>view.buf)
    PyBuffer_Release(&view)
    return scores


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
    """score(), scores() and count() of the present, by the system's clock.

    ``tables``: signal name -> ShardSet. ``windows``: signal name -> {window: position}, of those it keeps.
    """

    cdef dict tables, windows
    cdef object general_score, general_scores, general_count
    cdef bint usable

    def __cinit__(self, dict tables not None, dict windows not None, general_score, general_scores,
                  general_count):
        self.tables, self.windows = tables, windows
        self.general_score, self.general_scores = general_score, general_scores
        self.general_count = general_count
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
                    return (<ShardSet>shards).score_now(identifier, 0)
        return self.general_score(signal, entity_id, half_life=half_life, at=at)

    def scores(self, signal, ids, *, half_life=None, at=None):
        """As TidalDb.scores()."""
        cdef object shards, scores
        if self.usable and half_life is None and at is None and type(signal) is str:
            shards = self.tables.get(signal)
            if shards is not None:
                scores = scores_now(<ShardSet>shards, ids)
                if scores is not None:
                    return scores
        return self.general_scores(signal, ids, half_life=half_life, at=at)

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
