"""Bugs, each in one place: what a tired author might have written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from unittest import mock

from tidal.db import TidalDb
from tidal.errors import ForeignHistory
from tidal.following.host import StoreHost
from tidal.following.stored import Anew
from tidal.ledger import SignalLedger
from tidal.regions import CrdtSignalState, HardNegatives, HybridClock, PNCounter, Region, SessionBridge
from tidal.regions import exchange as exchanging
from tidal.regions import intake as intaking
from tidal.regions.kept import KeptState
from tidal.regions.negatives import Delta
from tidal.replication.continued import FollowerLog
from tidal.replication.feed import LogFeed
from tidal.replication.parting import Parting
from tidal.replication.receiver import SegmentReceiver
from tidal.replication.shipper import WalShipper
from tidal.testing.cluster import simulate


class Mutant(NamedTuple):
    """A bug, and the scenario that must show it."""

    name: str
    scenario: str
    plant: Callable[[], AbstractContextManager[Any]]


def _patch(target: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: mock.patch.object(target, name, value)


# ---------------------------------------------------------------------------------- three regions


def _offer_adding(self: CrdtSignalState, state: Any) -> bool:
    """States are added up, as if they were of different events."""
    mine = self._nodes.get(state.node)
    if mine is not None:
        if mine.version == state.version:
            return False
        merged: SignalLedger = state.ledger
        merged.merge(mine.ledger)
    self._nodes[state.node] = state
    return True


def _absorb_gaps(self: HardNegatives, delta: Delta) -> bool:
    """A delta is taken whatever it stands on."""
    return _absorb(self, delta._replace(base={}))


_absorb = HardNegatives.absorb


def _has_at_rest(self: HardNegatives, sort: Any, user_id: int, target_id: int, peers: Any = ()) -> bool:
    """An unhide counts at once."""
    return _has(self, sort, user_id, target_id)


_has = HardNegatives.has


def _add_merge(self: PNCounter, other: PNCounter) -> PNCounter:
    """Counters are added up node by node."""
    nodes = dict(self.nodes)
    for node, (plus, minus) in other.nodes.items():
        mine = nodes.get(node, (0, 0))
        nodes[node] = (mine[0] + plus, mine[1] + minus)
    return PNCounter(nodes)


def _unsynced_ledger(self: TidalDb) -> Any:
    """Others are told of events that are not durable."""
    copy = self._ledger.copy()
    with self._recorder.standing_still():
        seq, log_hash = self._log.settle(), self._log.head_hash
        copy.take()
    return seq, log_hash, copy


def _sum_both(self: Region) -> Any:
    """A region's own state is read beside its live one."""
    reads = self._signals.reads()
    ledgers = (*reads._ledgers, self.db._ledger)
    return type(reads)(self.db.schema, ledgers)


def _only_own(self: Any, peer: int, lacks: Any) -> Any:
    """Nobody passes on what a third region wrote."""
    return [lack for lack in _to_send(self, peer, lacks) if lack.owner in (None, self._node)]


_to_send = exchanging.Exchange._to_send


def _nothing(*args: Any) -> None:
    """It is forgotten."""


def _in_any_order(self: SessionBridge, op: Any) -> Any:
    """An operation is taken when it comes."""
    return [op]


REGION_MUTANTS = (
    Mutant("states of one node are added up", "regions", _patch(CrdtSignalState, "offer", _offer_adding)),
    Mutant("a region counts itself twice", "regions", _patch(Region, "_reads", _sum_both)),
    Mutant("others are told too early", "regions", _patch(TidalDb, "_durable_ledger", _unsynced_ledger)),
    Mutant("a delta is taken over a gap", "regions", _patch(HardNegatives, "absorb", _absorb_gaps)),
    Mutant("an unhide counts at once", "regions", _patch(HardNegatives, "has", _has_at_rest)),
    Mutant("hides are not kept", "regions", _patch(KeptState, "keep_entries", _nothing)),
    Mutant("values are not kept", "regions", _patch(KeptState, "keep_values", _nothing)),
    Mutant("counters are added up", "regions", _patch(PNCounter, "merge", _add_merge)),
    Mutant("the clock forgets what it said", "regions", _patch(HybridClock, "restore", _nothing)),
    Mutant("a session begins anew after a crash", "regions", _patch(SessionBridge, "go_on", _nothing)),
    Mutant("operations are taken in any order", "regions", _patch(SessionBridge, "receive", _in_any_order)),
    Mutant("closed sessions are forgotten for good", "regions", _patch(intaking._KeptKeys, "add", _nothing)),
    Mutant("nothing is passed on", "regions", _patch(exchanging.Exchange, "_to_send", _only_own)),
)  # fmt: skip


# ---------------------------------------------------------------------------------- a leader and followers


def _append_unsynced(self: FollowerLog, after: Any, data: bytes) -> None:
    """A follower says that it has what is not durable there."""
    assert self._active is not None
    self._active.extend(after, data)


def _read_all(self: LogFeed, place: Any, until_seq: int, most: int) -> Any:
    """A leader ships what is not durable yet."""
    return _read(self, place, 2**63, most)


_read = LogFeed.read


def _any_epoch(self: SegmentReceiver, envelope: Any) -> None:
    """A follower listens to older leaders, too."""
    if envelope.epoch > self._host.epoch:
        self._host.raise_epoch(envelope.epoch)


def _same_epoch(self: StoreHost, epoch: int) -> None:
    """A promoted follower does not leave out the epochs that others have claimed."""
    self._remembered.promote(epoch + 1)


def _twice(self: StoreHost, run: Any) -> None:
    """What comes is applied twice."""
    _take(self, run)
    for checked in run.frames:
        self._store.recorder.continue_with(lambda: None, [checked.batch])


_take = StoreHost.take


def _found_at_once(self: Parting, seq: int, origin: Any) -> Any:
    """A follower gives up where its leader's own start is no place in common."""
    if self._log.hash_at(origin.seq) != origin.hash:
        raise ForeignHistory("begin anew")
    return origin.seq, origin.hash


LEADER_MUTANTS = (
    Mutant("a follower does not sync", "leader", _patch(FollowerLog, "_append", _append_unsynced)),
    Mutant("what is not durable is shipped", "leader", _patch(LogFeed, "read", _read_all)),
    Mutant("an older leader is listened to", "leader", _patch(SegmentReceiver, "_check_sender", _any_epoch)),
    Mutant("a new leader takes an old epoch", "leader", _patch(StoreHost, "end_following", _same_epoch)),
    Mutant("nothing is taken back", "leader", _patch(SegmentReceiver, "_rewind", _nothing)),
    Mutant("a follower gives up too early", "leader", _patch(Parting, "on_foreign", _found_at_once)),
    Mutant("a materializer keeps what was cut off", "leader", _patch(Anew, "restore", _nothing)),
    Mutant("a follower applies twice", "leader", _patch(StoreHost, "take", _twice)),
    Mutant("an old leader goes on", "leader", _patch(WalShipper, "depose", _nothing)),
)

MUTANTS = (*REGION_MUTANTS, *LEADER_MUTANTS)


def hunt(mutant: Mutant, seeds: range) -> int | None:
    """Return the first seed that shows a bug, None if none does."""
    with mutant.plant():
        for seed in seeds:
            if simulate(mutant.scenario, seed).violation is not None:
                return seed
    return None
