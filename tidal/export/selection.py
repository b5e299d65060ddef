"""The events of a source that a request asks for, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.export.request import ExportRequest
from tidal.export.source import SignalSource
from tidal.parts import join_batches
from tidal.schema import EventBatch
from tidal.schema.events import NOTE_TYPE_ID, IdColumn

BLOCK_EVENTS: Final = 65_536
PARTS_MAX: Final = 1024  # that wait to be joined: a batch of one event takes a hundred times its columns

Part = tuple[EventBatch, NDArray[np.uint64]]  # and the sequences


class Selected(NamedTuple):
    """Events that are wanted, and their sequences. ``after_seq``: what was read before them."""

    events: EventBatch
    seqs: NDArray[np.uint64]
    after_seq: int


class Selection:
    """Iterates the wanted events in blocks of 65,536, less than twice that where batches are large.

    With ``operations`` the events are sessions' operations, in place of signals. ``first_event`` is the
    sequence of the first of them, None before there is one; ``last_seq`` the last that needs no further look.
    """

    def __init__(self, source: SignalSource, request: ExportRequest, *, operations: bool = False) -> None:
        self._source, self._request = source, request
        self._until = source.durable_seq
        if request.until_seq is not None:
            self._until = min(self._until, request.until_seq)
        self.first_event: int | None = None
        self._after = self.last_seq = request.after_seq or 0
        schema = source.schema
        wanted = [schema.signal(name) for name in request.signal_types] or list(schema)
        self._types = np.zeros(256, np.bool_)
        self._types[[NOTE_TYPE_ID] if operations else [signal.type_id for signal in wanted]] = True
        self._codes = np.zeros(256, np.uint8)
        self._codes[[signal.type_id for signal in schema]] = np.arange(len(schema), dtype=np.uint8)
        self._kinds = {signal.type_id: signal.kind for signal in schema}

    @property
    def share(self) -> float:
        """How much of the sequences that were asked for was read, 0.0 to 1.0."""
        due = self._until - self._after
        return 1.0 if due <= 0 else min((self.last_seq - self._after) / due, 1.0)

    def __iter__(self) -> Iterator[Selected]:
        if self._request.limit == 0:
            return
        pending: list[Part] = []
        count, left = 0, self._request.limit
        after = self.last_seq
        for events, seqs, seen in self._read():
            if left is not None and len(events) >= left:
                events, seqs = events.rows(0, left), seqs[:left]
                seen = int(seqs[-1])
            if len(events):
                if self.first_event is None:
                    self.first_event = int(seqs[0])
                pending.append((events, seqs))
                count += len(events)
                if len(pending) == PARTS_MAX:
                    pending = [_joined(pending)]
            if left is not None:
                left -= len(events)
            if count >= BLOCK_EVENTS or left == 0:
                if pending:
                    block = Selected(*_joined(pending), after)
                    self.last_seq = after = seen
                    yield block
                    pending, count = [], 0
                if left == 0:
                    return
            elif not pending:
                self.last_seq = after = seen
        if pending:
            block = Selected(*_joined(pending), after)
            self.last_seq = max(self._until, self.last_seq)
            yield block
        self.last_seq = max(self._until, self.last_seq)

    def _read(self) -> Iterator[tuple[EventBatch, NDArray[np.uint64], int]]:
        """Yield the wanted events of each batch, their sequences, and the last sequence of the batch."""
        request = self._request
        types = np.flatnonzero(self._types).tolist()
        batches = self._source.read(request.after_seq, self._until, request.since, request.until, types)
        for first, batch in batches:
            chosen = self._chosen(batch)
            seqs = np.arange(first, first + len(batch), dtype=np.uint64)
            last = first + len(batch) - 1
            if chosen.all():
                yield batch, seqs, last
            else:
                yield batch.where(chosen), seqs[chosen], last

    def _chosen(self, batch: EventBatch) -> NDArray[np.bool_]:
        request = self._request
        chosen = self._types[batch.type_id]
        if request.since is not None:
            chosen &= batch.timestamp >= request.since
        if request.until is not None:
            chosen &= batch.timestamp < request.until
        if request.entity_id is not None:
            chosen &= batch.entity_id == np.uint64(request.entity_id)
        for wanted, column in ((request.user_id, batch.user_id), (request.session_id, batch.session_id)):
            if wanted is not None:
                chosen &= _equal(column, wanted)
        return chosen

    def names_of(self, type_ids: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """Return a code for each type id, and the names that codes stand for."""
        return self._codes[type_ids], self._source.schema.names

    def entity_keys(self, events: EventBatch) -> list[str | None]:
        """Return the string key of each event's entity, None where it has none."""
        keys: list[str | None] = [None] * len(events)
        for type_id in np.unique(events.type_id).tolist():
            rows = np.flatnonzero(events.type_id == type_id)
            names = self._names(self._kinds[type_id], events.entity_id[rows])
            for row, name in zip(rows.tolist(), names, strict=True):
                keys[row] = name
        return keys

    def user_keys(self, events: EventBatch) -> list[str | None]:
        """Return the string key of each event's user, None where it has none."""
        if events.user_id is None:
            return [None] * len(events)
        values, valid = events.user_id
        names = self._names("user", values)
        return (
            names
            if valid is None
            else [name if known else None for name, known in zip(names, valid, strict=True)]
        )

    def _names(self, kind: str, ids: NDArray[np.uint64]) -> list[str | None]:
        distinct, places = np.unique(ids, return_inverse=True)
        names = self._source.names(kind, distinct.tolist())
        return [names[place] for place in places.tolist()]


def _equal(column: IdColumn | None, wanted: Any) -> Any:
    if column is None:
        return False
    equal = column.values == np.uint64(wanted)
    return equal if column.valid is None else equal & column.valid


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    return join_batches([events for events, _ in parts]), np.concatenate([seqs for _, seqs in parts])
