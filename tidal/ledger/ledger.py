"""SignalLedger: all live state of a store, a pure function of its events."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from tidal._ext.saved import widened
from tidal.errors import InvalidOption, SchemaError
from tidal.ledger.copying import LedgerCopy, named
from tidal.ledger.gathering import LedgerGathering, by_type
from tidal.ledger.saved import ARRAYS, SavedShard, in_id_order
from tidal.ledger.table import Ranking, Table, checked_k, rank_best
from tidal.schema.durations import Duration
from tidal.schema.events import NOTE_TYPE_ID, EventBatch, plain_ids
from tidal.schema.measures import measures_of, parse_measure, parse_qualified
from tidal.schema.spec import ALL, WINDOW_SECONDS, Schema

SHARDS_DEFAULT = 4
SHARDS_MAX = 256


class SignalLedger:
    """Decayed scores and window counts of every entity, by signal type; in memory only.

    It takes checked events (EventBatch) and asks no clock: every read names its time ``at``, in ns.
    ``now=True`` promises that ``at`` is the present, so that windows are turned to it for the reads to
    come.

    >>> from tidal.schema import SchemaBuilder
    >>> ledger = SignalLedger(SchemaBuilder().signal("view", half_life="1d").build())
    >>> ledger.add("view", 42, 1.0, 0)
    >>> ledger.score("view", 42, at=86400 * 10**9)
    0.5
    """

    def __init__(self, schema: Schema, *, shards: int = SHARDS_DEFAULT) -> None:
        self.schema = schema
        self.shard_count = shards
        self._tables = {signal.name: Table(signal, shards) for signal in schema}
        self._by_id = {signal.type_id: self._tables[signal.name] for signal in schema}

    def table(self, signal: str) -> Table:
        """Return the table of a signal type; UnknownSignalType where there is none."""
        try:
            return self._tables[signal]
        except (KeyError, TypeError):
            self.schema.signal(signal)  # raises, naming close matches
            raise

    # ------------------------------------------------------------------------------ writing

    def apply(self, batch: EventBatch) -> None:
        """Apply the events of a batch, in order; operations of sessions change nothing. O(n); releases the
        GIL.

        SchemaError, with nothing applied, for a type id that the schema does not have.
        """
        parts = [(self._table_of(type_id), columns) for type_id, columns in by_type(batch)]
        for table, (entities, weights, times) in parts:
            table.ingest(plain_ids(entities), weights, times)

    def gathering(self) -> LedgerGathering:
        """Return what takes many batches, in a ``with`` block, to be applied faster than one by one.

        The state is the same, but for the order of records, which no read depends on.
        """
        return LedgerGathering(self._table_of, self.shard_count)

    def expect(self, newest: Mapping[int, int]) -> None:
        """Promise, before a history is applied, an event of each of these type ids at the time named (ns) or
        later; ids that the schema does not have are passed over.

        Clocks move there at once. So no window turns as the history goes through its minutes and hours: an
        event finds the column that will still be there at the end, or that there is none. The state after
        the history is the same, byte for byte. Between the promise and its event, reads answer as of the
        promise. tidal.history.newest_times() has the times that files tell without being decoded.
        """
        for type_id, t in newest.items():
            if type_id in self._by_id:
                self._by_id[type_id].expect(t)

    def _table_of(self, type_id: int) -> Table:
        if (table := self._by_id.get(type_id)) is None:
            raise SchemaError(f"events of a signal type with id {type_id}, which the schema does not have")
        return table

    def add(self, signal: str, entity_id: int, weight: float, t: int) -> None:
        """Apply one event."""
        self.table(signal).add(entity_id, weight, t)

    # ------------------------------------------------------------------------------ reading

    def score(
        self, signal: str, entity_id: int, *, at: int, half_life: Duration | int | None = None
    ) -> float:
        """Return the decayed score of an entity, 0.0 where unknown. O(1)."""
        table = self.table(signal)
        position = 0 if half_life is None else table.signal.half_life_position(half_life)
        return table.score(entity_id, position, at)

    def scores(
        self, signal: str, ids: NDArray[np.uint64], *, at: int, half_life: Duration | int | None = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each id, float64[n]."""
        table = self.table(signal)
        return table.scores(ids, table.signal.half_life_position(half_life), at)

    def count(self, signal: str, entity_id: int, window: str, *, at: int, now: bool = False) -> int:
        """Return the events of an entity in a window, 0 where unknown. O(1) at the clock."""
        table = self.table(signal)
        table.signal.check_window(window)
        return table.count(entity_id, window, at, now)

    def counts(
        self, signal: str, ids: NDArray[np.uint64], window: str, *, at: int, now: bool = False
    ) -> NDArray[np.uint64]:
        """Return the events of each id in a window, uint64[n]."""
        table = self.table(signal)
        table.signal.check_window(window)
        return table.counts(ids, window, at, now)

    def velocity(self, signal: str, entity_id: int, window: str, *, at: int, now: bool = False) -> float:
        """Return the events a second of an entity over a window."""
        table = self.table(signal)
        table.signal.check_window(window, velocity=True)
        return table.count(entity_id, window, at, now) / WINDOW_SECONDS[window]

    def velocities(
        self, signal: str, ids: NDArray[np.uint64], window: str, *, at: int, now: bool = False
    ) -> NDArray[np.float64]:
        """Return the events a second of each id over a window, float64[n]."""
        table = self.table(signal)
        table.signal.check_window(window, velocity=True)
        rates: NDArray[np.float64] = table.counts(ids, window, at, now) / WINDOW_SECONDS[window]
        return rates

    def top(self, signal: str, k: int, *, by: str = "score", at: int, now: bool = False) -> Ranking:
        """Return the k best entities by a measure; counts and velocities of zero are left out.

        O(entities) the first time, then of what has changed.
        """
        table = self.table(signal)
        return table.top(k, parse_measure(table.signal, by), at, now)

    def read(
        self, signal: str, *, measures: Collection[str] | None = None, at: int, now: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Return entity_id, last_time and these measures (None: every one) of each entity, as columns in the
        table's own order.
        """
        table = self.table(signal)
        if isinstance(measures, str) or not isinstance(measures, Collection | None):
            raise InvalidOption(f'measures={measures!r}: give names in a list, as ["score"]')
        wanted = measures_of(table.signal) if measures is None else measures
        parsed = {name: parse_measure(table.signal, name) for name in wanted}
        rows = table.records()
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate([part[name] for part in rows]) for name in ("entity_id", "last_time")
        }
        for name, measure in parsed.items():
            columns[name] = table.values_of_first([len(part) for part in rows], measure, at, now)
        return columns

    def rank(
        self,
        ids: NDArray[np.uint64],
        weights: Mapping[str, float],
        *,
        k: int | None = None,
        at: int,
        now: bool = False,
    ) -> Ranking:
        """Return candidates by the weighted sum of measures, best first.

        ``weights``: measure -> weight, such as ``{"view.velocity.1h": 1.0, "like.score": 3.0}``.
        """
        k = None if k is None else checked_k(k)
        total = np.zeros(len(ids))
        for name, weight in weights.items():
            measure = parse_qualified(self.schema, name)
            total += _finite(name, weight) * self._tables[measure.signal.name].values(ids, measure, at, now)
        return rank_best(ids, total, k)

    def clock(self, signal: str) -> int | None:
        """Return the newest event time of a signal type in ns; None before its first event."""
        return self.table(signal).clock

    def newest(self) -> int | None:
        """Return the newest event time of all types in ns; None before the first event."""
        return max((t.clock for t in self._tables.values() if t.clock is not None), default=None)

    def entity_count(self) -> int:
        """Return the entities of all types together; one counts for each type that it has events of."""
        return sum(map(len, self._tables.values()))

    def count_new(self, batch: EventBatch) -> int:
        """Return how many entities the events of a batch would add to entity_count(). O(n log n)."""
        new = 0
        for type_id in np.unique(batch.type_id[batch.type_id != NOTE_TYPE_ID]):
            ids = np.unique(batch.entity_id[batch.type_id == type_id])
            new += int((self._by_id[int(type_id)].counts(ids, ALL, 0, False) == 0).sum())
        return new

    def stats(self) -> dict[str, dict[str, int]]:
        """Return plain counters by signal type: entities, events, late, saturated, bytes by part."""
        return {name: table.stats() for name, table in self._tables.items()}

    # ------------------------------------------------------------------------------ saving and merging

    def save(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state: a JSON value, and named arrays; records in the order in which they were made."""
        return named(*self._state())

    def _state(self) -> tuple[dict[str, int], dict[str, list[SavedShard]]]:
        clocks = {name: table.clock for name, table in self._tables.items() if table.clock is not None}
        return clocks, {name: self._tables[name].save() for name in clocks}

    def copy(self) -> LedgerCopy:
        """Return a copy to be taken, for which the ledger stands still only during its take()."""
        return LedgerCopy(self._tables)

    def load(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a saved state; into an empty ledger with as many shards this restores it byte for byte.

        ValueError, with a part of it added, for what save() of a ledger with this schema never returns.
        """
        try:
            for name, clock in meta["clocks"].items():
                shards: list[SavedShard] = [
                    widened({array: arrays[f"{name}/{number}/{array}"] for array in ARRAYS})
                    for number in range(meta["shards"][name])
                ]
                self.table(name).merge(shards, clock)
        except ValueError:
            raise
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not what a ledger of this schema saves: {error!r}") from error

    def merge(self, other: SignalLedger) -> None:
        """Add the state of a ledger over other events: this becomes the ledger of the union."""
        if other.schema != self.schema:
            raise SchemaError("only ledgers of one schema merge; rebuild one of them from its log")
        self.load(*other.save())

    def state_digest(self) -> bytes:
        """Return the BLAKE3 hash of the whole state, 32 bytes: equal logs give equal digests. O(n log n)."""
        clocks, tables = self._state()
        meta, arrays = named(clocks, {name: list(map(in_id_order, tables[name])) for name in tables})
        hasher = blake3(repr(sorted(meta["clocks"].items())).encode())
        for name in sorted(arrays):
            hasher.update(f"{name}:{arrays[name].dtype.str}:{arrays[name].shape}".encode())
            hasher.update(np.ascontiguousarray(arrays[name]).tobytes())
        return hasher.digest()


def _finite(name: str, weight: object) -> float:
    if not isinstance(weight, Real) or not math.isfinite(weight):
        raise InvalidOption(f"the weight of {name!r} is {weight!r}; write a finite number")
    return float(weight)
