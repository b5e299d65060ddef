"""Region: a store among those of other regions, all of which take writes; reads over all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from tidal.answers import Top
from tidal.db import TidalDb
from tidal.db.reads import Entities, Entity
from tidal.errors import InvalidOption, StoreMissing
from tidal.records import record
from tidal.regions.clock import HybridClock, checked_node
from tidal.regions.coding import Reader
from tidal.regions.exchange import Exchange
from tidal.regions.kept import KeptState
from tidal.regions.messages import GROUP_BYTES
from tidal.regions.negatives import SORTS, Sort, Vector, number_of, read_vector
from tidal.regions.parts import NegativesPart, Part, SignalsPart, ValuesPart, read_versions
from tidal.regions.reconcile import ReconciliationEngine
from tidal.regions.signals import CrdtSignalState, NodeState, SavedLedger
from tidal.regions.summed import SummedReads
from tidal.replication.names import check_name
from tidal.schema import Duration, schema_to_json
from tidal.schema.durations import parse_duration

_SIGNALS: Final = "signals"
_NEGATIVES: Final = "negatives"
_VALUES: Final = "values"

PAYLOAD_MAX: Final = 1 << 20  # bytes of a message: what a NATS server takes unless told otherwise
PAYLOAD_LEAST: Final = 4096  # what every transport takes


@record
class Member:
    """What a region knows of one of the group: the last sequence of it that is counted here (None: nothing
    came yet); when it was last heard, in ns of the clock that step() is called with; and how many events of
    its own it then had that are not counted here.
    """

    seq: int | None
    heard_at: int | None
    lag: int = 0


class Region:
    """A database that counts what other regions record too. Each records in its own store, at its own speed.

    ``members``: the numbers of all regions, which is how long an unhide waits. ``region``: the number of this
    one; left out, that of the store (``tidal.open(..., region=)``), which it must be where the store has one.
    ``group`` names those that belong together; all have one schema. States are exchanged every
    ``interval``: what a region reads of the others is older by that and the way, and misses nothing that they
    had made durable by then. Reads of this region's own events are of now.

    It has no thread: ``tidal.RegionLink`` moves its messages. Every method may be called from
    any thread. A database has one Region at a time: what two keep would overwrite each other.
    """

    def __init__(
        self,
        db: TidalDb,
        *,
        members: Iterable[int],
        region: int | None = None,
        group: str = "main",
        interval: Duration = "5s",
        max_skew: Duration = "1m",
        max_payload: int = PAYLOAD_MAX,
    ) -> None:
        db._check_writable()
        if db._disk is None:
            raise StoreMissing("what a region tells others must outlive it; open a folder, not memory")
        self.db, self._store = db, db._disk.identity
        self.region = region = self._store.region if region is None else checked_node(region)
        if self._store.region not in (0, region):
            raise InvalidOption(f"the store was made as region {self._store.region}, not region={region}")
        self.channel = f"regions/{check_name('group', group)}"
        everybody = frozenset(map(checked_node, members))
        if region not in everybody:
            raise InvalidOption(f"region {region} is none of members={sorted(everybody)}; name all of them")
        if type(max_payload) is not int or max_payload < PAYLOAD_LEAST:
            raise InvalidOption(f"max_payload={max_payload!r}: choose {PAYLOAD_LEAST} bytes or more")
        self.max_payload = max_payload
        self._others = tuple(sorted(everybody - {region}))
        kept = KeptState(db._engine, db._disk.paths.entities)
        self._clock = HybridClock(region, db._settings.wall_clock, max_skew=max_skew)
        self._signals = CrdtSignalState(db.schema)
        self._negatives, self._values = kept.negatives(), kept.values()
        for stamp in (*self._negatives.vector().values(), *self._values.stamps()):
            self._clock.restore(stamp)
        parts: dict[str, Part] = {
            _SIGNALS: SignalsPart(self._signals, stores={region: self._store.store_id}),
            _NEGATIVES: NegativesPart(self._negatives, self._clock),
            _VALUES: ValuesPart(self._values, self._clock),
        }
        self._exchange = Exchange(
            ReconciliationEngine(parts),
            node=region,
            members=everybody,
            group=blake3(schema_to_json(db.schema) + group.encode()).digest(GROUP_BYTES),
            interval_ns=parse_duration(interval),
            max_payload=max_payload,
        )
        self.state_bytes = 0  # of its own state, when it was last copied for the others; 0: it never was
        self.state_seconds = 0.0  # that this took
        self._vectors: dict[int, tuple[bytes, Vector]] = {}
        self._turn = threading.Lock()  # messages one by one

    # ------------------------------------------------------------------------------ messages

    def step(self, now: int) -> list[bytes]:
        """Return the messages that are due on ``channel`` at a time in ns; call it again at ``due``.

        Raises StoreClosed, and StorageError where this region's own events cannot be made durable.
        """
        with self._turn:
            if now >= self._exchange.due:
                self._save_own()
            return self._exchange.step(now)

    def on_message(self, data: bytes, now: int) -> list[bytes]:
        """Take a message of the channel and return the answers, for the same channel.

        What is damaged, of another group or of a wrong clock changes nothing, and is counted in ``refused``.
        Raises StorageError for what cannot be kept here: it comes again.
        """
        with self._turn:
            return self._exchange.on_message(data, now)

    @property
    def due(self) -> int:
        """When step() has something to send next, in ns."""
        return self._exchange.due

    @property
    def refused(self) -> int:
        """How many messages were refused."""
        return self._exchange.refused

    @property
    def refusal(self) -> str | None:
        """Why the last message that was refused was so; None if none was."""
        return self._exchange.refusal

    def members(self) -> dict[int, Member]:
        """Return what is known of each of the other regions."""
        nodes = self._signals.nodes
        return {node: self._member(node, nodes.get(node)) for node in self._others}

    def _member(self, node: int, state: NodeState | None) -> Member:
        summary = self._exchange.summaries.get(node, {}).get(_SIGNALS, b"")
        told = read_versions(summary).get(node) if summary else None
        seq = None if state is None else state.version.seq
        lag = 0 if told is None else max(0, told.seq - (seq or 0))
        return Member(seq, self._exchange.heard.get(node), lag)

    def _save_own(self) -> None:
        """Take a copy of this region's own state for the others, durable before anybody is told of it."""
        mine = self._signals.nodes.get(self.region)
        if mine is None or mine.version.seq != self.db.last_seq:
            began = self.db._settings.monotonic()
            seq, log_hash, copy = self.db._durable_ledger()
            saved = SavedLedger(self._store.store_id, self._store.epoch, seq, log_hash, *copy.saved())
            self._signals.offer(NodeState(self.region, saved, self.db.schema))
            self.state_bytes = sum(array.nbytes for array in saved.arrays.values())
            self.state_seconds = self.db._settings.monotonic() - began

    # ------------------------------------------------------------------------------ signals

    def score(
        self, signal: str, entity_id: Entity, *, half_life: Duration | int | None = None, at: Any = None
    ) -> float:
        """Return the decayed score of an entity over all regions."""
        t, _ = self.db._time(at)
        return self._reads().score(signal, self.db._id(signal, entity_id), at=t, half_life=half_life)

    def scores(
        self, signal: str, ids: Entities, *, half_life: Duration | int | None = None, at: Any = None
    ) -> NDArray[np.float64]:
        """Return the decayed score of each entity over all regions, float64[n]."""
        t, _ = self.db._time(at)
        known = self.db._ids(self.db._kind(signal), ids)
        return self._reads().scores(signal, known, at=t, half_life=half_life)

    def count(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> int:
        """Return the events of an entity in the last "1h", "24h", "7d" or "all", over all regions."""
        t, _ = self.db._time(at)
        return self._reads().count(signal, self.db._id(signal, entity_id), window, at=t)

    def counts(self, signal: str, ids: Entities, window: str, *, at: Any = None) -> NDArray[np.uint64]:
        """Return the events of each entity in a window over all regions, uint64[n]."""
        t, _ = self.db._time(at)
        known = self.db._ids(self.db._kind(signal), ids)
        return self._reads().counts(signal, known, window, at=t)

    def velocity(self, signal: str, entity_id: Entity, window: str, *, at: Any = None) -> float:
        """Return the events a second of an entity over a window, over all regions."""
        t, _ = self.db._time(at)
        return self._reads().velocity(signal, self.db._id(signal, entity_id), window, at=t)

    def top(self, signal: str, k: int = 10, *, by: str = "score", at: Any = None) -> Top:
        """Return the k best entities by a measure over all regions, best first; O(entities of all).

        ``keys`` has the names that this region knows: another's entity without events here is an id.
        """
        t, _ = self.db._time(at)
        kind = self.db._kind(signal)
        return Top(
            self._reads().top(signal, k, by=by, at=t), lambda ids: self.db._names.names(kind, list(ids))
        )

    def _reads(self) -> SummedReads:
        return self._signals.reads(instead={self.region: self.db._ledger})

    # ------------------------------------------------------------------------------ hard negatives

    def hide(self, user: Entity, item: Entity) -> None:
        """Never show an item to a user again, in any region. Durable here when this returns."""
        self.negate("hide", user, item)

    def unhide(self, user: Entity, item: Entity) -> None:
        """Take a hide back; it counts once all regions are known to have it."""
        self.negate("hide", user, item, on=False)

    def negate(self, sort: Sort, user: Entity, target: Entity, *, on: bool = True) -> None:
        """Hide an item, mute a creator or block a user for a user; with ``on=False`` take that back.

        The last of all regions wins, by a clock that is near to the wall's. Durable here when this returns.
        Raises InvalidOption, InvalidEntity, ReadOnly, StoreClosed, StorageError.
        """
        self.db._check_writable()
        user_id, target_id = self._ids(sort, user, target)
        self._negatives.put(sort, user_id, target_id, self._clock.tick, on=on)

    def negates(self, sort: Sort, user: Entity, target: Entity) -> bool:
        """Return whether something is hidden, muted or blocked for a user: in any region, as far as known."""
        return self._negatives.has(sort, *self._ids(sort, user, target), self._peers())

    def hidden(self, user: Entity, sort: Sort = "hide") -> NDArray[np.uint64]:
        """Return the ids of all that is hidden, muted or blocked for a user, ascending, uint64[n]."""
        self.db._check_open()
        return self._negatives.of(sort, self.db.users.id_of(user), self._peers())

    def _ids(self, sort: Sort, user: Entity, target: Entity) -> tuple[int, int]:
        self.db._check_open()
        number_of(sort)
        kind = SORTS[sort][1]
        return self.db.users.id_of(user), self.db._entities[kind].id_of(target)

    def _peers(self) -> list[Vector]:
        """Return what each other region is known to have of negatives: nothing, of one that was not heard."""
        return [self._vector_of(node) for node in self._others]

    def _vector_of(self, node: int) -> Vector:
        data = self._exchange.summaries.get(node, {}).get(_NEGATIVES, b"")
        known = self._vectors.get(node)
        if known is None or known[0] != data:
            known = self._vectors[node] = data, read_vector(Reader(data)) if data else {}
        return known[1]

    # ------------------------------------------------------------------------------ values by name

    def add(self, name: str, amount: int = 1) -> int:
        """Add to the counter of a name, which is never below 0, and return its value as known here."""
        self.db._check_writable()
        self._values.update(name, lambda: self._values.counter(name).add(self.region, amount))
        return self.value(name)

    def value(self, name: str) -> int:
        """Return the counter of a name over all regions, 0 if nothing was added."""
        return self._values.counter(name).value

    def write(self, name: str, value: bytes) -> None:
        """Write the register of a name, of which the last write wins. Durable here when this returns."""
        self.db._check_writable()
        self._values.update(name, lambda: self._values.register(name).write(value, self._clock.tick()))

    def register(self, name: str) -> bytes:
        """Return what was last written to the register of a name, b"" if nothing was."""
        return self._values.register(name).value
