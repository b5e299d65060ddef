"""EventBatch: checked columns of events, the one form in which events travel between the layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.records import record

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

ID_MAX: Final = 2**64 - 1
KEY_BYTES_MAX: Final = 1024  # of a string key in UTF-8
NOTE_TYPE_ID: Final = 255  # of events that are operations of a session; no signal type has it
NOTE_BYTES_MAX: Final = 2**16 - 1  # of the bytes of one operation
TIME_MIN_NS: Final = -(2**61)  # 1896; from the landmark of one time (landmark.h) to another fits an int64
TIME_MAX_NS: Final = 2**62 - 1  # 2116


class IdColumn(NamedTuple):
    """An optional u64 column: ``values[i]`` means something only where ``valid[i]``."""

    values: U64
    valid: NDArray[np.bool_] | None = None  # None: every row has a value


class CodedIds:
    """Ids as ``places`` in a dictionary of ``words``, for columns of which many are about the same few.

    Who needs ids takes ``ids``, which are looked up once; who knows what the words are needs the places only.
    A place beyond the words is the mistake of whoever made this.
    """

    __slots__ = ("_ids", "places", "words")

    def __init__(self, places: U32, words: U64) -> None:
        self.places, self.words = places, words
        self._ids: U64 | None = None

    @property
    def ids(self) -> U64:
        if self._ids is None:
            self._ids = self.words[self.places]
        return self._ids

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> CodedIds:
        return CodedIds(self.places[rows], self.words)


Ids = U64 | CodedIds


def plain_ids(column: Ids) -> U64:
    """Return the ids of a column, looked up where it has places."""
    return column.ids if isinstance(column, CodedIds) else column


class NewKey(NamedTuple):
    """A string key that this batch uses for the first time, so that the log can name its id."""

    kind: str
    id: int
    key: str


@record
class EventBatch:
    """Events as columns of one length, in order; contiguous, native byte order.

    Whoever builds one has checked it against the schema: nothing below checks a value again.

    Where there are ``notes``, the events of the type NOTE_TYPE_ID are no signals but operations of sessions,
    and the notes are the bytes of each, in the order of the rows.
    """

    entities: Ids
    type_id: NDArray[np.uint8]
    weight: NDArray[np.float32]
    timestamp: NDArray[np.int64]  # ns since the epoch, UTC
    user_id: IdColumn | None = None
    session_id: IdColumn | None = None
    event_id: IdColumn | None = None
    new_keys: tuple[NewKey, ...] = ()
    notes: tuple[bytes, ...] = ()

    @property
    def entity_id(self) -> U64:
        """The ids of the entities, looked up where they came as places in a dictionary."""
        return plain_ids(self.entities)

    def __len__(self) -> int:
        return len(self.entities)

    def rows(self, start: int, stop: int) -> EventBatch:
        """Return the events from start to stop, without a copy. New keys stay with the first of them."""
        rows = slice(start, stop)
        return EventBatch(
            self.entities[rows],
            self.type_id[rows],
            self.weight[rows],
            self.timestamp[rows],
            _id_rows(self.user_id, rows),
            _id_rows(self.session_id, rows),
            _id_rows(self.event_id, rows),
            self.new_keys if start == 0 else (),
            self._notes_of(rows) if self.notes else (),
        )

    def where(self, chosen: NDArray[np.bool_]) -> EventBatch:
        """Return a copy of the chosen events, without new keys: which of them are still used is not known
        here.
        """
        return EventBatch(
            self.entities[chosen],
            self.type_id[chosen],
            self.weight[chosen],
            self.timestamp[chosen],
            _id_rows(self.user_id, chosen),
            _id_rows(self.session_id, chosen),
            _id_rows(self.event_id, chosen),
            notes=tuple(compress(self.notes, chosen[self.note_rows()].tolist())) if self.notes else (),
        )

    def note_rows(self) -> NDArray[np.intp]:
        """Return the rows that the notes are of."""
        return np.flatnonzero(self.type_id == NOTE_TYPE_ID)

    def _notes_of(self, rows: slice) -> tuple[bytes, ...]:
        before = int(np.count_nonzero(self.type_id[: rows.start] == NOTE_TYPE_ID))
        here = int(np.count_nonzero(self.type_id[rows] == NOTE_TYPE_ID))
        return self.notes[before : before + here]


# entity id, type id, weight (a float32 value), time in ns, user, session, event id
EventRow = tuple[int, int, float, int, int | None, int | None, int | None]


def batch_of_rows(rows: Sequence[EventRow], new_keys: tuple[NewKey, ...] = ()) -> EventBatch:
    """Return one or more events as a batch."""
    entity, type_id, weight, timestamp, user, session, event = zip(*rows, strict=True)
    return EventBatch(
        np.array(entity, np.uint64),
        np.array(type_id, np.uint8),
        np.array(weight, np.float32),
        np.array(timestamp, np.int64),
        _column(user),
        _column(session),
        _column(event),
        new_keys,
    )


def _column(values: tuple[int | None, ...]) -> IdColumn | None:
    known = [value is not None for value in values]
    if not any(known):
        return None
    valid = None if all(known) else np.array(known, np.bool_)
    return IdColumn(np.array([value or 0 for value in values], np.uint64), valid)


def _id_rows(column: IdColumn | None, rows: slice | NDArray[np.bool_]) -> IdColumn | None:
    if column is None:
        return None
    return IdColumn(column.values[rows], None if column.valid is None else column.valid[rows])
