"""Intake: messages of one partition become events of one store, each exactly once. Knows no broker."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Final

import numpy as np

from tidal.broker.message import Message, decode_message
from tidal.broker.positions import Position, Positions
from tidal.db import TidalDb
from tidal.db.recorder import Tally
from tidal.errors import (
    FormatError,
    FormatTooNew,
    InvalidOption,
    KeyCollision,
    ReplicationError,
    TidalError,
)
from tidal.ingest.scalars import TimeRange, not_signed
from tidal.parts import join_batches
from tidal.records import record
from tidal.schema import EventBatch
from tidal.schema.events import KEY_BYTES_MAX, NOTE_TYPE_ID, NewKey
from tidal.sharding import ShardRouter


class Took(enum.Enum):
    """What became of a message."""

    INGESTED = "ingested"
    DUPLICATE = "duplicate"  # its batch is in the store, by an earlier message
    BEFORE = "before"  # the store has had this very message
    REFUSED = "refused"  # it is no batch of events for this store


@record
class Taken:
    """What became of a message: of how many events, and if it was refused why.

    ``missing``: messages before it that the stream no longer has, and that this store never got.
    """

    took: Took
    events: int = 0
    reason: str = ""
    missing: int = 0


class Intake:
    """Takes messages of a partition, in the order of their sequences. One thread.

    ``db`` must be open with ``positions`` among its materializers, and without ``dedup=``; ``source`` names
    where the messages come from. An entity that ``router`` gives to another shard is not taken.
    """

    def __init__(
        self, db: TidalDb, positions: Positions, source: str, router: ShardRouter, shard: int
    ) -> None:
        if positions not in db._materializers.values():
            raise InvalidOption('open the database with materializers={"positions": positions}')
        if db._recorder.seen is not None:
            raise InvalidOption(
                "batches are told apart by their ids; open the database without dedup=, which may cut them up"
            )
        if not 0 <= shard < router.shards:
            raise InvalidOption(f"shard {shard!r} of {router.shards}")
        self.source: Final = source
        self._db, self._positions = db, positions
        self._router, self._shard = router, shard
        self._signed = np.zeros(NOTE_TYPE_ID + 1, np.bool_)

    @property
    def position(self) -> int:
        """The last message that the store has; 0 where it has none."""
        return 0 if (position := self._positions.of(self.source)) is None else position.seq

    def check_last(self, payload: bytes | None) -> None:
        """Compare the message at ``position`` with what the store has had there.

        ReplicationError if it is another one: the stream was made anew, or lost its end.
        """
        position = self._positions.of(self.source)
        if position is None or position.batch_id is None:
            return
        try:
            same = payload is not None and self._decode(payload).batch_id == position.batch_id
        except (FormatError, FormatTooNew):
            same = False
        if not same:
            raise ReplicationError(
                f"message {position.seq} of {self.source} is not what the store has had there: the stream "
                "was made anew or lost its end; ingest it as another source=, from its beginning: batches "
                "that the store has are known by their ids"
            )

    def take(self, seq: int, payload: bytes) -> Taken:
        """Ingest one message, and return what became of it; it is durable after ``db.flush()``.

        A refused one changes nothing: put it aside, then skip() it. Raises what the database does; then
        nothing of it is recorded, and it may be taken again.
        """
        position = self._positions.of(self.source)
        if position is not None and seq <= position.seq:
            return Taken(Took.BEFORE)
        missing = 0 if position is None else seq - position.seq - 1
        try:
            batch_id, batch = self._checked(self._decode(payload))
        except (FormatError, FormatTooNew, KeyCollision) as error:
            return Taken(Took.REFUSED, reason=str(error), missing=missing)
        if self._positions.has(batch_id):
            self.skip(seq)
            return Taken(Took.DUPLICATE, len(batch), missing=missing)
        time = int(batch.timestamp.max())
        self._record(join_batches([batch, self._positions.marks(self.source, Position(seq, batch_id), time)]))
        return Taken(Took.INGESTED, len(batch), missing=missing)

    def skip(self, seq: int) -> None:
        """Go on after a message without its events."""
        self._record(self._positions.marks(self.source, Position(seq), None))

    def _record(self, batch: EventBatch) -> None:
        try:
            self._db._check_writable()
            self._db._recorder.batch(batch, Tally())
        except TidalError as error:
            self._db._meters.refused(error)
            raise

    def _decode(self, payload: bytes) -> Message:
        return decode_message(self._db.schema, payload)

    def _checked(self, message: Message) -> Message:
        """Return a message whose events may be recorded, with the names that the store lacks; FormatError,
        KeyCollision.
        """
        batch_id, batch = message
        db, settings = self._db, self._db._settings
        for signal in db.schema:
            self._signed[signal.type_id] = signal.signed
        if (batch.type_id == self._positions.type_id).any():
            raise FormatError("it has positions, which only the ingesting store may write")
        if (negative := np.flatnonzero((batch.weight < 0) & ~self._signed[batch.type_id])).size:
            raise FormatError(not_signed(db.schema.by_id(int(batch.type_id[negative[0]])).name))
        within = TimeRange.until(settings.wall_clock(), settings.max_future_skew_ns)
        if (newest := int(batch.timestamp.max())) > within.last_ns:
            raise FormatError(f"a timestamp {newest} is {within.reason(newest)}")
        if (self._router.shards_of(batch.entity_id) != self._shard).any():
            raise FormatError(f"it has entities that do not belong to shard {self._shard} of {self._router}")
        return Message(batch_id, replace(batch, new_keys=self._names_of(batch)))

    def _names_of(self, batch: EventBatch) -> tuple[NewKey, ...]:
        """Return those names of a batch that the store lacks."""
        lacking: list[NewKey] = []
        for kind in {key.kind for key in batch.new_keys}:
            named = [key for key in batch.new_keys if key.kind == kind]
            if max(len(key.key.encode()) for key in named) > KEY_BYTES_MAX:
                raise FormatError(f"a key of more than {KEY_BYTES_MAX} bytes")
            ids, new = self._db._names.ids(kind, [key.key for key in named])
            if ids.tolist() != [key.id for key in named]:
                raise FormatError("a key has another id than its own")
            lacking += new
        return tuple(lacking)
