"""ShardedDb: several stores as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tidal.answers import Ingested, Top
from tidal.db import TidalDb
from tidal.db.reads import Entities, Entity
from tidal.errors import TidalError, close_after
from tidal.health import Health, of_shards
from tidal.ingest import OnError, Prepared, RefusedRow, prepare_call
from tidal.ingest.lookup import entity_ids
from tidal.ledger.table import rank_best
from tidal.records import record
from tidal.schema import EventBatch, Schema
from tidal.sharding.dealing import Dealer
from tidal.sharding.router import ShardRouter


@record
class ShardedIngested:
    """What an ingest into several stores did. ``last_seqs``: the last sequence in each shard with events."""

    count: int
    last_seqs: Mapping[int, int]
    duplicates: int = 0
    refused: tuple[RefusedRow, ...] = ()


class ShardedDb:
    """Several stores as one: events go to the shard of their entity, reads come from there.

    Made by tidal.open_sharded(); use it in a ``with`` block, or close() it. ``shards`` are the databases, for
    what concerns one of them: its sessions, exports, followers. Every method may be called from any
    thread; arguments and errors are as of tidal.TidalDb.
    """

    def __init__(self, shards: tuple[TidalDb, ...], router: ShardRouter) -> None:
        self.shards, self.router = shards, router
        self.schema: Schema = shards[0].schema
        self._pool = ThreadPoolExecutor(len(shards), thread_name_prefix="tidal-shard")

    # ------------------------------------------------------------------------------ writing

    def signal(self, signal: str, entity_id: Entity, weight: float = 1.0, **columns: Any) -> int:
        """Record one event in the shard of its entity, and return its sequence there."""
        return self.shard_of(entity_id).signal(signal, entity_id, weight, **columns)

    def ingest(
        self,
        frame: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        on_error: OnError = "raise",
        **given: Any,
    ) -> ShardedIngested:
        """Record many events, each in the shard of its entity, once they are as durable as the policy says.

        The whole call is checked before anything is recorded, tables included. An error of a disk or limit
        may come when other shards have recorded theirs; a note of the error says which.
        """
        parts, refused = self._dealt(frame, columns, on_error, given)
        done = self._of_all(lambda shard: self._record(shard, parts.get(shard, ())))
        return ShardedIngested(
            sum(it.count for it in done),
            {shard: it.last_seq for shard, it in enumerate(done) if it.last_seq},
            sum(it.duplicates for it in done),
            refused,
        )

    def _dealt(
        self, frame: Any, columns: Mapping[str, str] | None, on_error: OnError, given: Mapping[str, Any]
    ) -> tuple[dict[int, list[EventBatch]], tuple[RefusedRow, ...]]:
        settings = self.shards[0]._settings
        dealer = Dealer(self.schema, self.router, [shard._names for shard in self.shards])
        for db in self.shards:
            db._check_writable()
        call = prepare_call(
            self.schema,
            frame,
            given,
            columns=columns,
            now_ns=settings.wall_clock(),
            max_future_skew_ns=settings.max_future_skew_ns,
            resolve_keys=dealer.resolve,
            on_error=on_error,
        )
        prepared = list(call)  # all is checked first
        parts: dict[int, list[EventBatch]] = {}
        for batch, _ in prepared:
            for shard, part in dealer.deal(batch):
                parts.setdefault(shard, []).append(part)
        return parts, tuple(row for _, rows in prepared for row in rows)

    def _record(self, shard: int, parts: Sequence[EventBatch]) -> Ingested:
        if not parts:
            return Ingested(0, 0, 0)
        return self.shards[shard]._ingest(lambda: map(Prepared, parts))

    # ------------------------------------------------------------------------------ reads

    def shard_of(self, entity: Entity) -> TidalDb:
        """Return the database that has an entity."""
        return self.shards[self.router.shard_of(entity)]

    def now(self) -> int:
        """Return what reads take as the present, in ns; with clock="event" the newest event of all shards."""
        asked = [shard for shard in self.shards if shard.last_seq] or self.shards
        return max(shard.now() for shard in asked)  # one without events knows no newest one

    def score(self, signal: str, entity_id: Entity, *, half_life: Any = None, at: Any = None) -> float:
        """Return the decayed score of an entity."""
        db = self.shard_of(entity_id)
        return db.score(signal, entity_id, half_life=half_life, at=self._at(at))

    def count(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> int:
        """Return the events of an entity in a window."""
        return self.shard_of(entity_id).count(signal, entity_id, window, at=self._at(at))

    def velocity(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> float:
        """Return the events a second of an entity over a window."""
        return self.shard_of(entity_id).velocity(signal, entity_id, window, at=self._at(at))

    def scores(
        self, signal: str, ids: Entities, *, half_life: Any = None, at: Any = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each entity, float64[n]."""
        t = self._at(at)
        return self._gathered(
            signal, ids, np.float64, lambda db, of: db.scores(signal, of, half_life=half_life, at=t)
        )

    def counts(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.uint64]:
        """Return the events of each entity in a window, uint64[n]."""
        t = self._at(at)
        return self._gathered(signal, ids, np.uint64, lambda db, of: db.counts(signal, of, window, at=t))

    def velocities(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.float64]:
        """Return the events a second of each entity over a window, float64[n]."""
        t = self._at(at)
        return self._gathered(signal, ids, np.float64, lambda db, of: db.velocities(signal, of, window, at=t))

    def top(self, signal: str, k: int = 10, *, by: str = "score", at: Any = None) -> Top:
        """Return the k best entities of all shards, best first; as of a single store."""
        t, kind = self._at(at), self.schema.signal(signal).kind
        found = self._of_all(lambda shard: self.shards[shard].top(signal, k, by=by, at=t))
        ids = np.concatenate([top.ids for top in found])
        values = np.concatenate([top.values for top in found])
        return Top(rank_best(ids, values, k), lambda of: [self.key_of(id, kind=kind) for id in of])

    def key_of(self, entity_id: int, *, kind: str = "item") -> str | None:
        """Return the string key that an id was made from, or None."""
        return self.shard_of(entity_id).key_of(entity_id, kind=kind)

    def _at(self, at: Any) -> Any:
        """Return the time of a read: one for all shards."""
        return self.now() if at is None else at

    def _gathered(
        self, signal: str, entities: Entities, dtype: Any, read: Callable[[TidalDb, Any], NDArray[Any]]
    ) -> NDArray[Any]:
        dealer = Dealer(self.schema, self.router, [shard._names for shard in self.shards])
        ids = entity_ids(entities, self.schema.signal(signal).kind, dealer.resolve)
        shards = self.router.shards_of(ids)
        values = np.zeros(len(ids), dtype)
        for shard in np.unique(shards).tolist():
            chosen = shards == shard
            values[chosen] = read(self.shards[shard], ids[chosen])
        return values

    # ------------------------------------------------------------------------------ life

    def flush(self) -> tuple[int, ...]:
        """Return the last sequence of each shard, once all is durable."""
        return tuple(self._of_all(lambda shard: self.shards[shard].flush()))

    def checkpoint(self) -> tuple[int, ...]:
        """Save the state of each shard durably; return their sequences."""
        return tuple(self._of_all(lambda shard: self.shards[shard].checkpoint()))

    @property
    def last_seqs(self) -> tuple[int, ...]:
        """The sequence of the newest event in each shard."""
        return tuple(shard.last_seq for shard in self.shards)

    def health(self) -> Health:
        """Return whether all shards are well; the message of each reason begins with its shard."""
        return of_shards(shard.health() for shard in self.shards)

    @property
    def metrics_address(self) -> str | None:
        """Where the metrics of all shards are served; None without ``metrics=``, and once closed."""
        return self.shards[0].metrics_address

    def close(self) -> None:
        """Close all shards, each of them whatever another raises; a second close does nothing."""
        errors: list[TidalError | OSError] = []
        for shard in self.shards:
            try:
                shard.close()
            except (TidalError, OSError) as error:
                errors.append(error)
        self._pool.shutdown()
        if errors:
            raise errors[0]

    def _of_all(self, work: Callable[[int], Any]) -> list[Any]:
        """Return what ``work`` returns of each shard, all at once; the first error, once all have ended."""
        futures = [self._pool.submit(work, shard) for shard in range(len(self.shards))]
        errors = {shard: error for shard, future in enumerate(futures) if (error := future.exception())}
        if errors:
            shard, error = next(iter(errors.items()))
            if len(self.shards) > 1:
                done = [it for it in range(len(self.shards)) if it not in errors]
                error.add_note(f"this is of shard {shard}; the shards {done} did what they were asked")
            raise error
        return [future.result() for future in futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(error, self.close, "the shards")

    def __repr__(self) -> str:
        return f"<ShardedDb {self.router}, {sum(self.last_seqs):,} events>"
