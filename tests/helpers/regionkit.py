"""States to merge, drawn by Hypothesis: what several nodes did, each with stamps of its own clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tidal import SchemaBuilder, SignalLedger
from tidal.regions import (
    CrdtSignalState,
    HardNegatives,
    HybridClock,
    LWWRegister,
    NamedValues,
    NodeState,
    PNCounter,
    Stamp,
    ValuesPart,
)
from tidal.regions.negatives import SORTS, Entry, NegativeKey
from tidal.regions.signals import SavedLedger
from tidal.regions.values import encode_values

SCHEMA = SchemaBuilder().signal("view", half_life="1h", windows=("1h",), velocity=True).build()
NODES = st.integers(0, 3)
NS = 10**9


def node_state(
    node: int, seq: int, *, epoch: int = 1, store: int | None = None, log: int = 0, turn: int = 0
) -> NodeState:
    """The state of a node after the first events of its log, of which number n is of the entity n % 3.

    Another ``log`` is of other events, of which nothing but the hash says so. Another ``turn`` is of the
    same ones, applied in another order.
    """
    ledger = SignalLedger(SCHEMA, shards=2)
    for number in range(seq):
        ledger.add("view", (number + turn) % 3, 1.0 + node + log, (1000 + number) * NS)
    (copy := ledger.copy()).take()
    store_id = (node if store is None else store).to_bytes(16, "big")
    log_hash = bytes([seq, log]) * 16
    return NodeState(node, SavedLedger(store_id, epoch, seq, log_hash, *copy.saved()), SCHEMA)


STATES = {
    (node, seq, epoch, log, turn): node_state(node, seq, epoch=epoch, log=log, turn=turn)
    for node in (0, 1)
    for seq, epoch, log, turn in (
        (0, 1, 0, 0), (0, 2, 0, 0), (1, 1, 0, 0), (1, 2, 0, 0),
        (5, 1, 0, 0), (5, 1, 1, 0), (5, 1, 0, 1), (5, 1, 0, 2), (5, 2, 0, 0), (5, 2, 1, 1),
    )
}  # fmt: skip


@st.composite
def stamps(draw: Any) -> Stamp:
    return Stamp(draw(st.integers(1, 4)), draw(st.integers(0, 2)), draw(NODES))


def _counter(changes: list[tuple[int, int, int]]) -> PNCounter:
    return PNCounter({node: (plus, minus) for node, plus, minus in changes})


def _negatives(changes: list[tuple[NegativeKey, Entry]]) -> HardNegatives:
    made = HardNegatives()
    for key, entry in changes:
        made.restore({key: made._entry(key).merge(entry)})
    return made


def _signals(keys: list[tuple[int, ...]]) -> CrdtSignalState:
    made = CrdtSignalState(SCHEMA)
    for key in keys:
        made.offer(STATES[key])  # type: ignore[index]
    return made


class Named(NamedValues):
    """Named values with what others have: their bytes, and in short."""

    def merge(self, other: Named) -> None:
        self.absorb(other.items())

    def encode(self) -> bytes:
        return encode_values(self.items()) + ValuesPart(self, HybridClock(0, lambda: 0)).summary()


def _values(found: dict[str, PNCounter | LWWRegister]) -> Named:
    made = Named()
    for name, value in found.items():
        made.update(name[0], lambda value=value: value)  # type: ignore[misc]
    return made


KEYS = st.builds(
    NegativeKey, st.integers(0, 1), st.sampled_from([n for n, _ in SORTS.values()]), st.integers(0, 1)
)
ENTRIES = st.builds(Entry, st.none() | stamps(), st.none() | stamps()).filter(lambda it: it != Entry())


def _merged(a: Any, b: Any) -> Any:
    """A merge that returns the result, of types that merge in place."""
    made = type(a)(a.schema) if isinstance(a, CrdtSignalState) else type(a)()
    made.merge(a)
    made.merge(b)
    return made


class Mergeable(NamedTuple):
    """A type of state: how to draw one, and how two become one."""

    drawn: st.SearchStrategy[Any]
    merge: Callable[[Any, Any], Any]


COUNTERS = st.lists(st.tuples(NODES, st.integers(0, 5), st.integers(0, 5))).map(_counter)
REGISTERS = st.just(LWWRegister()) | st.builds(LWWRegister, st.binary(max_size=2), stamps())

MERGEABLE = {
    "counter": Mergeable(COUNTERS, PNCounter.merge),
    "register": Mergeable(REGISTERS, LWWRegister.merge),
    "values": Mergeable(
        st.dictionaries(st.sampled_from(["a", "b", "a again"]), COUNTERS | REGISTERS).map(_values), _merged
    ),
    "negatives": Mergeable(st.lists(st.tuples(KEYS, ENTRIES), max_size=6).map(_negatives), _merged),
    "signals": Mergeable(st.lists(st.sampled_from(sorted(STATES)), max_size=4).map(_signals), _merged),
}
