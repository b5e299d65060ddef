"""The reads of a database: from names and keys to the ledger, and its numbers back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.answers import Columns, Top
from tidal.db.settings import Settings
from tidal.entities import EntityStore, KeyNames, checked_id
from tidal.errors import InvalidEntity, InvalidEvent, InvalidOption, SchemaError, StoreClosed
from tidal.ingest.lookup import entity_ids
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.ledger import SignalLedger
from tidal.schema import Duration, Schema
from tidal.schema.events import ID_MAX, TIME_MAX_NS, TIME_MIN_NS
from tidal.schema.measures import parse_qualified
from tidal.storage import StorageEngine

Entity = int | str
Entities = NDArray[Any] | Sequence[int] | Sequence[str]


class Reads:
    """What a database answers; the part of TidalDb that changes nothing."""

    def __init__(
        self, schema: Schema, ledger: SignalLedger, engine: StorageEngine, names: KeyNames, settings: Settings
    ) -> None:
        self._settings = settings
        self._closed = False
        self._answer_from(schema, ledger, engine, names)

    def _answer_from(
        self, schema: Schema, ledger: SignalLedger, engine: StorageEngine, names: KeyNames
    ) -> None:
        self.schema = schema
        self.items = EntityStore(engine, "item", names)
        self.users = EntityStore(engine, "user", names)
        self.creators = EntityStore(engine, "creator", names)
        self._entities = {"item": self.items, "user": self.users, "creator": self.creators}
        self._ledger, self._engine, self._names = ledger, engine, names

    def now(self) -> int:
        """Return what reads take as the present, in ns: the wall clock, or with clock="event" the newest
        event.
        """
        if self._settings.event_clock:
            newest = self._ledger.newest()
            if newest is not None:
                return newest
        return self._settings.wall_clock()

    def score(
        self, signal: str, entity_id: Entity, *, half_life: Duration | int | None = None, at: Any = None
    ) -> float:
        """Return the decayed score of an entity. ``half_life``: which of several, by value or position.

        S(t) = sum of w * 2^(-(t - t_i) / half_life) over its events, t not before the newest of them.
        """
        t, _ = self._time(at)
        return self._ledger.score(signal, self._id(signal, entity_id), at=t, half_life=half_life)

    def scores(
        self, signal: str, ids: Entities, *, half_life: Duration | int | None = None, at: Any = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each entity, float64[n]."""
        t, _ = self._time(at)
        return self._ledger.scores(signal, self._ids(self._kind(signal), ids), at=t, half_life=half_life)

    def count(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> int:
        """Return the events of an entity in the last "1h", "24h", "7d" (bucket aligned) or "all"."""
        t, now = self._time(at)
        return self._ledger.count(signal, self._id(signal, entity_id), window, at=t, now=now)

    def counts(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.uint64]:
        """Return the events of each entity in a window, uint64[n]."""
        t, now = self._time(at)
        return self._ledger.counts(signal, self._ids(self._kind(signal), ids), window, at=t, now=now)

    def velocity(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> float:
        """Return the events a second of an entity over a window: its count over the window's length."""
        t, now = self._time(at)
        return self._ledger.velocity(signal, self._id(signal, entity_id), window, at=t, now=now)

    def velocities(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.float64]:
        """Return the events a second of each entity over a window, float64[n]."""
        t, now = self._time(at)
        return self._ledger.velocities(signal, self._ids(self._kind(signal), ids), window, at=t, now=now)

    def top(self, signal: str, k: int = 10, *, by: str = "score", at: Any = None) -> Top:
        """Return the k best entities by "score", "score.30d", "count.1h", "velocity.24h", ...; best first.

        Counts and velocities of zero are left out. O(entities) the first time and after large batches; else
        what has changed since the last call, and k.
        """
        t, now = self._time(at)
        kind = self._kind(signal)
        ranking = self._ledger.top(signal, k, by=by, at=t, now=now)
        return Top(ranking, lambda ids: self._names.names(kind, ids))

    def rank(
        self, candidates: Entities, weights: Mapping[str, float], *, k: int | None = None, at: Any = None
    ) -> Top:
        """Return candidates by a weighted sum of measures, best first.

        ``weights``: measure -> weight, ``{"view.velocity.1h": 1.0, "like.score": 3.0}``; all of one kind.
        """
        t, now = self._time(at)
        if not isinstance(weights, Mapping):
            raise InvalidOption(f'weights is {weights!r}; write {{"view.score": 1.0}}, a weight by measure')
        kinds = sorted({parse_qualified(self.schema, name).signal.kind for name in weights})
        if len(kinds) != 1:
            raise SchemaError(f"rank() needs measures of one kind of entity, not {kinds or 'none'}")
        ranking = self._ledger.rank(self._ids(kinds[0], candidates), weights, k=k, at=t, now=now)
        return Top(ranking, lambda ids: self._names.names(kinds[0], ids))

    def read(self, signal: str, *, measures: Collection[str] | None = None, at: Any = None) -> Columns:
        """Return every entity of a signal type as columns, in the store's own order.

        ``entity_id`` uint64, ``last_time`` int64 (ns), and a column for each measure: ``score`` (and
        ``score.30d`` for further half-lives) float64, ``count.1h`` ... ``count.all`` uint64,
        ``velocity.1h`` ... float64. ``measures``: only these, such as ``["score", "count.1h"]``; a column
        that nobody asks for is not made. UnknownMeasure for a name that the type does not have.
        """
        t, now = self._time(at)
        self._kind(signal)
        found = self._ledger.read(signal, measures=measures, at=t, now=now)
        return Columns(found, times=("last_time",))

    def records(self, signal: str) -> list[NDArray[np.void]]:
        """Return the hot records of each shard as structured arrays: live, read-only, without a copy.

        Fields: entity_id, last_time, sums (scaled to a landmark: use score() for values), total, windows.
        """
        self._kind(signal)
        return self._ledger.table(signal).records()

    def state_digest(self) -> bytes:
        """Return the BLAKE3 hash of all live state, 32 bytes: equal for equal logs and their replay.

        With another number of ``shards`` it is another one. All state is copied for it.
        """
        self._check_open()
        return self._ledger.state_digest()

    def key_of(self, entity_id: int, *, kind: str = "item") -> str | None:
        """Return the string key that an id was made from, or None. Raises InvalidEntity for what is no id,
        InvalidKind.
        """
        self._check_open()
        try:
            return self._names.name(kind, checked_id(entity_id))
        except InvalidEntity:
            raise InvalidEntity(f"{entity_id!r} is not an id; key_of() takes one in 0 .. 2**64 - 1") from None

    # ------------------------------------------------------------------------------ checks

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the database is closed; open it again with tidal.open()")

    def _time(self, at: Any) -> tuple[int, bool]:
        """Return the time of a read in ns, and whether that is the present."""
        self._check_open()
        if at is None:
            return self.now(), True
        if type(at) is int and TIME_MIN_NS <= at <= TIME_MAX_NS:
            return at, False
        try:
            return time_of(at, TimeRange.until(0, None)), False
        except Unfit as unfit:
            raise InvalidEvent(str(unfit), column="at", value=at) from None

    def _kind(self, signal: str) -> str:
        self._check_open()
        return self.schema.signal(signal).kind

    def _id(self, signal: str, entity: Entity) -> int:
        if type(entity) is int and 0 <= entity <= ID_MAX:
            return entity
        return self._entities[self._kind(signal)].id_of(entity)

    def _ids(self, kind: str, entities: Entities) -> NDArray[np.uint64]:
        return entity_ids(entities, kind, self._names.ids)
