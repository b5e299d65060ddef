"""How far a store is in the streams that it ingests: in its log, with the events themselves.

The last events of each batch's frame are marks, of the signal type POSITION_SIGNAL: one has the sequence of
the message, one the id of the batch, each as its event id. A frame is in the log whole or not at all, so a
store has the events of a message if and only if it has its position, whatever was killed when.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import blake3
import numpy as np

from tidal.errors import SchemaError
from tidal.records import record
from tidal.schema import EventBatch, Schema, SchemaBuilder
from tidal.schema.events import IdColumn

POSITION_SIGNAL: Final = "broker_position"
BATCHES_DEFAULT: Final = 1 << 16

_VERSION: Final = 1
_HEAD = struct.Struct("<HIIq")  # version, sources, batch ids, time
_SOURCE = struct.Struct("<QQQB")  # id, position, the last batch's id and whether it has one
_BATCHES = int.from_bytes(blake3.blake3(b"tidal broker batch ids").digest(8), "little")


def with_positions(builder: SchemaBuilder) -> SchemaBuilder:
    """Declare the signal type that a store needs to ingest from a broker, and return the builder.

    >>> import tidal
    >>> schema = with_positions(tidal.SchemaBuilder().signal("view", half_life="7d")).build()
    >>> [signal.name for signal in schema]
    ['view', 'broker_position']
    """
    return builder.signal(POSITION_SIGNAL, kind="creator")


def source_id(source: str) -> int:
    """Return the id (u64) of a source: of a stream from which messages come."""
    return int.from_bytes(blake3.blake3(b"tidal broker source\0" + source.encode()).digest(8), "little")


@record
class Position:
    """The last message of a source that a store has, and the id of its batch, if it was one."""

    seq: int
    batch_id: int | None = None


class Positions:
    """The positions of a store, a Materializer: ``tidal.open(..., materializers={"positions": it})``.

    The newest ``batches`` ids of batches are remembered: of those, one that is published twice is ingested
    once. SchemaError for a schema without the type that with_positions() declares.
    """

    def __init__(self, schema: Schema, *, batches: int = BATCHES_DEFAULT) -> None:
        if POSITION_SIGNAL not in {signal.name for signal in schema}:
            raise SchemaError(
                f"the schema has no signal type {POSITION_SIGNAL!r}; declare it by "
                "tidal.broker.with_positions(builder)"
            )
        self.type_id = schema.signal(POSITION_SIGNAL).type_id
        self._most = batches
        self._of: dict[int, Position] = {}
        self._batches: dict[int, None] = {}  # in the order in which they came
        self._time = 0

    def of(self, source: str) -> Position | None:
        """Return how far the store is in a source; None at its beginning."""
        return self._of.get(source_id(source))

    def has(self, batch_id: int) -> bool:
        """Return whether a batch is among those that are remembered."""
        return batch_id in self._batches

    def marks(self, source: str, position: Position, time: int | None) -> EventBatch:
        """Return the events that put a position into the log; ``time`` (ns): None for that of the last."""
        values = [(source_id(source), position.seq)]
        if position.batch_id is not None:
            values.append((_BATCHES, position.batch_id))
        entity_id, event_id = (np.array(column, np.uint64) for column in zip(*values, strict=True))
        count = len(values)
        return EventBatch(
            entity_id,
            np.full(count, self.type_id, np.uint8),
            np.ones(count, np.float32),
            np.full(count, self._time if time is None else time, np.int64),
            event_id=IdColumn(event_id),
        )

    # ------------------------------------------------------------------------------ Materializer

    def on_events(self, batch: EventBatch) -> None:
        """Take the next events of the log."""
        rows = np.flatnonzero(batch.type_id == self.type_id)
        if not len(rows) or batch.event_id is None:
            return
        self._time = int(batch.timestamp[rows[-1]])
        last: int | None = None
        for entity, value in zip(
            batch.entity_id[rows].tolist(), batch.event_id.values[rows].tolist(), strict=True
        ):
            if entity == _BATCHES:
                self._remember([value])
                if last is not None:
                    self._of[last] = Position(self._of[last].seq, value)
            else:
                self._of[entity], last = Position(value), entity

    def _remember(self, batch_ids: Iterable[int]) -> None:
        for batch_id in batch_ids:
            self._batches[batch_id] = None
            if len(self._batches) > self._most:
                del self._batches[next(iter(self._batches))]

    def checkpoint(self) -> bytes:
        """Return the whole state."""
        sources = [
            _SOURCE.pack(source, it.seq, it.batch_id or 0, it.batch_id is not None)
            for source, it in sorted(self._of.items())
        ]
        batches = np.fromiter(self._batches, "<u8", len(self._batches)).tobytes()
        head = _HEAD.pack(_VERSION, len(sources), len(self._batches), self._time)
        return b"".join([head, *sources, batches])

    def restore(self, state: bytes) -> None:
        """Become what checkpoint() returned; ValueError for what it never returns."""
        if len(state) < _HEAD.size:
            raise ValueError(f"positions of {len(state)} bytes")
        version, sources, batches, self._time = _HEAD.unpack_from(state)
        middle = _HEAD.size + sources * _SOURCE.size
        if version != _VERSION or len(state) != middle + 8 * batches:
            raise ValueError(f"positions of version {version}, {len(state)} bytes")
        self._of = {
            source: Position(seq, batch_id if known else None)
            for source, seq, batch_id, known in _SOURCE.iter_unpack(state[_HEAD.size : middle])
        }
        self._batches = {}
        self._remember(np.frombuffer(state, "<u8", offset=middle).tolist())
