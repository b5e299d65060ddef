"""Where two logs part: found by asking, whatever leaders there were, and no more is given up than must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import ForeignHistory
from tidal.format.segment import NO_HASH
from tidal.replication.feed import Origin
from tidal.replication.frames import NO_EPOCH
from tidal.replication.messages import Answer
from tidal.replication.parting import Parting

Event = tuple[
    int, int
]  # the epoch that it was recorded in, and its number among those of that epoch's leader


class Log:
    """A log of events, each a batch by itself, that reaches back to ``start``."""

    def __init__(self, events: list[Event], start: int = 1) -> None:
        self.events, self.start = events, start

    def hash_at(self, seq: int) -> bytes | None:
        if not self.start - 1 <= seq <= len(self.events):
            return None
        return repr(self.events[:seq]).encode() if seq else NO_HASH

    def epoch_of(self, seq: int) -> Origin | None:
        if not self.start <= seq <= len(self.events):
            return None
        epoch = self.events[seq - 1][0]
        first = next(at for at, it in enumerate(self.events, 1) if it[0] == epoch and at >= self.start)
        return self._origin(epoch, first - 1)

    def epoch_after(self, epoch: int) -> Origin:
        """As a leader says it, who has recorded nothing in his own epoch yet if none is later here."""
        for at, (other, _) in enumerate(self.events):
            if other > epoch:
                return self._origin(other, at)
        return self._origin(1000, len(self.events))

    def _origin(self, epoch: int, seq: int) -> Origin:
        digest = self.hash_at(seq)
        assert digest is not None
        return Origin(epoch, seq, digest)


def common(one: list[Event], other: list[Event]) -> int:
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def search(mine: Log, leader: Log) -> tuple[int, int]:
    """Where the follower goes back to, and how many times it had to ask."""
    parting, seq = Parting(mine), len(mine.events)
    number = mine.events[-1][0]
    place = parting.on_foreign(seq, leader.epoch_after(number))
    asked = 0
    while place is None:
        asked += 1
        at = parting.asked
        assert at is not None
        shared = leader.hash_at(at.last_seq) == at.final_hash
        place = parting.on_answer(Answer(at.last_seq, at.final_hash, shared, *leader.epoch_after(at.epoch)))
    assert mine.hash_at(place[0]) == place[1] == leader.hash_at(place[0])
    return place[0], asked


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """What each leader had in the end, of some ten, of which each began with a part of an earlier one's."""
    logs: list[list[Event]] = [[]]
    for epoch in range(1, draw(st.integers(2, 10))):
        before = draw(st.sampled_from(logs))
        kept = draw(st.integers(0, len(before)))
        logs.append(before[:kept] + [(epoch, number) for number in range(draw(st.integers(0, 4)))])
    return logs


@given(histories(), st.data())
def test_what_is_given_up_is_what_the_leader_has_not(logs: list[list[Event]], data: st.DataObject) -> None:
    leader = logs[-1]
    whole = data.draw(st.sampled_from(logs))
    mine = whole[: data.draw(st.integers(0, len(whole)))]
    if mine == leader[: len(mine)]:
        return
    place, asked = search(Log(mine), Log(leader))
    assert place == common(mine, leader)
    assert asked <= len({epoch for epoch, _ in mine})


def test_a_log_that_does_not_reach_back_to_a_place_in_common_says_so() -> None:
    mine, leader = Log([(1, 0), (2, 0), (2, 1)], start=2), Log([(1, 0), (3, 0), (3, 1)])
    assert search(mine, leader) == (1, 0)
    with pytest.raises(ForeignHistory, match="begin anew"):
        search(Log([(1, 0), (1, 1), (2, 0), (2, 1)], start=3), leader)


def test_an_answer_to_another_follower_changes_nothing() -> None:
    parting = Parting(Log([(1, 0), (2, 0)]))
    foreign = Answer(2, bytes(32), False, 3, 1, bytes(32))
    assert parting.on_answer(foreign) is None
    assert parting.asked is None


def test_that_a_place_is_shared_says_nothing_of_what_is_after_it() -> None:
    log = Log([(1, 0), (2, 0)])
    parting, digest = Parting(log), log.hash_at(1)
    assert digest is not None
    yes = Answer(1, digest, True, 2, 1, digest)
    assert parting.on_answer(yes) is None
    assert parting.on_foreign(2, Origin(3, 5, bytes(32))) is None
    assert parting.asked is not None
    assert (parting.asked.last_seq, parting.asked.epoch) == (1, 1)
    assert parting.on_answer(yes) == (1, digest)


def test_before_the_first_epoch_there_is_none() -> None:
    parting = Parting(Log([(1, 0), (2, 0)], start=2))
    assert parting.on_foreign(2, Origin(3, 5, bytes(32))) is None
    assert parting.asked is not None
    assert (parting.asked.last_seq, parting.asked.epoch) == (1, NO_EPOCH)
