"""Hides: the last write wins at rest, and while regions differ what any of them hides is hidden."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal.errors import FormatError, InvalidOption, StorageError
from tidal.regions import HardNegatives, Stamp
from tidal.regions.negatives import Delta, Entry, NegativeKey, Vector, decode_delta, encode_delta

KEY = NegativeKey(1, 1, 9)


def at(wall: int, node: int = 1) -> Stamp:
    return Stamp(wall, 0, node)


def test_the_last_write_wins_and_an_equal_stamp_keeps_the_hide() -> None:
    assert Entry(at(2), at(1)).at_rest
    assert Entry(at(2), at(2)).at_rest
    assert not Entry(at(1), at(2)).at_rest
    assert not Entry(None, at(2)).at_rest


def test_an_unhide_waits_until_all_are_known_to_have_it() -> None:
    negatives = HardNegatives()
    negatives.put("hide", 1, 9, lambda: at(1))
    negatives.put("hide", 1, 9, lambda: at(2), on=False)
    assert not negatives.has("hide", 1, 9)
    assert negatives.has("hide", 1, 9, [{}, {1: at(2)}])
    assert negatives.has("hide", 1, 9, [{1: at(1)}])
    assert not negatives.has("hide", 1, 9, [{1: at(2)}, {1: at(5)}])


def test_an_unhide_that_lost_does_not_hide_less() -> None:
    negatives = HardNegatives()
    negatives.put("hide", 1, 9, lambda: at(3))
    negatives.put("hide", 1, 9, lambda: at(2, 2), on=False)
    assert negatives.has("hide", 1, 9, [{2: at(2, 2)}])


def test_each_sort_and_user_is_for_itself() -> None:
    negatives = HardNegatives()
    negatives.put("hide", 1, 9, lambda: at(1))
    negatives.put("hide", 1, 4, lambda: at(2))
    negatives.put("block", 1, 5, lambda: at(3))
    assert negatives.of("hide", 1).tolist() == [4, 9]
    assert negatives.of("mute", 1).tolist() == negatives.of("hide", 2).tolist() == []
    with pytest.raises(InvalidOption, match="'ban' is no sort of negative; there are hide, mute, block"):
        negatives.of("ban", 1)  # type: ignore[arg-type]


def test_a_delta_is_taken_only_where_its_base_is_known() -> None:
    """Else the vector would say that what lies between is there."""
    source, near, far = HardNegatives(), HardNegatives(), HardNegatives()
    source.put("hide", 1, 9, lambda: at(1))
    near.merge(source)
    source.put("hide", 1, 4, lambda: at(2))
    delta = source.delta(near.vector())
    assert list(delta.entries) == [NegativeKey(1, 1, 4)]
    assert not far.absorb(delta) and far.vector() == {}
    assert near.absorb(delta) and not near.absorb(delta)
    assert near.encode() == source.encode()
    assert far.absorb(source.delta(far.vector())) and far.encode() == source.encode()


def test_a_delta_claims_no_more_than_its_sender_has() -> None:
    source, ahead = HardNegatives(), HardNegatives()
    source.put("hide", 1, 9, lambda: at(1, 2))
    ahead.put("hide", 1, 4, lambda: at(5, 3))
    assert source.delta(ahead.vector()).base == {}
    assert source.delta({2: at(9, 2)}).base == {2: at(1, 2)}


def newer_by_hand(node: HardNegatives, base: Vector) -> dict[NegativeKey, Entry]:
    """The entries of which somebody with a vector lacks something: all of them looked at."""
    everything = node.delta({}).entries
    assert len(everything) == len(node)
    lacking = {
        key for key, it in everything.items() for stamp in it.stamps if stamp > base.get(stamp.node, at(0))
    }
    return {key: everything[key] for key in lacking}


class Replicas:
    """Three nodes that hide and take back, and pass deltas on: any of them, at any time, made for anybody."""

    def __init__(self) -> None:
        self.nodes = [HardNegatives() for _ in range(3)]
        self.sent: list[Delta] = []
        self.written: list[tuple[NegativeKey, Stamp, bool]] = []

    def put(self, node: int, user: int, target: int, on: bool) -> None:
        stamp = at(len(self.written) + 1, node)
        self.nodes[node].put("hide", user, target, lambda: stamp, on=on)
        self.written.append((NegativeKey(user, 1, target), stamp, on))

    def send(self, node: int, to: int, *, lost: bool) -> None:
        """Everybody may hear what is meant for one, sooner or later: see take()."""
        base = self.nodes[to].vector()
        self.sent.append(self.nodes[node].delta(base))
        assert self.sent[-1].entries == newer_by_hand(self.nodes[node], base)
        if not lost:
            self.nodes[to].absorb(self.sent[-1])

    def take(self, node: int, back: int) -> None:
        """Have a node hear one of the latest."""
        if self.sent:
            self.nodes[node].absorb(self.sent[-1 - back % len(self.sent)])

    def check(self) -> None:
        """What a vector says is there is there."""
        for node in self.nodes:
            vector = node.vector()
            for key, stamp, on in self.written:
                if vector.get(stamp.node, at(0)) >= stamp:
                    entry = node._entry(key)
                    assert ((entry.on if on else entry.off) or at(0)) >= stamp


THREE = st.integers(0, 2)


@given(st.lists(
    st.tuples(st.just("put"), THREE, st.tuples(st.integers(0, 1), st.integers(0, 1), st.booleans()))
    | st.tuples(st.just("send"), THREE, st.tuples(THREE, st.booleans()))
    | st.tuples(st.just("take"), THREE, st.integers(0, 3)),
    max_size=25,
))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_whatever_deltas_come_a_vector_never_says_too_much(steps: list[tuple[str, int, Any]]) -> None:
    replicas = Replicas()
    for what, node, more in steps:
        if what == "put":
            replicas.put(node, *more)
        elif what == "send":
            replicas.send(node, more[0], lost=more[1])
        else:
            replicas.take(node, more)
        replicas.check()
    for one, other in 2 * [(0, 1), (1, 2), (2, 0)]:
        for a, b in ((one, other), (other, one)):
            replicas.nodes[b].absorb(replicas.nodes[a].delta(replicas.nodes[b].vector()))
    assert len({node.encode() for node in replicas.nodes}) == 1


def test_what_cannot_be_kept_does_not_count() -> None:
    def keep(changes: object) -> None:
        raise StorageError(28, "no space")

    source, broken = HardNegatives(), HardNegatives(keep)
    source.put("hide", 1, 9, lambda: at(1))
    with pytest.raises(StorageError):
        broken.merge(source)
    with pytest.raises(StorageError):
        broken.put("hide", 1, 9, lambda: at(1))
    assert len(broken) == 0 and broken.vector() == {}


def test_a_stamp_must_be_of_a_clock() -> None:
    with pytest.raises(InvalidOption, match="is of no clock"):
        HardNegatives().put("hide", 1, 9, lambda: Stamp(0, 0, 0))


def test_what_no_encoder_writes_is_refused() -> None:
    good = encode_delta(Delta({}, {1: at(2)}, {KEY: Entry(at(2))}))
    assert decode_delta(good).entries == {KEY: Entry(at(2))}
    wrong = [
        good[:-1],
        good + b"\0",
        encode_delta(Delta({}, {1: at(1)}, {KEY: Entry(at(2))})),
        encode_delta(Delta({}, {1: at(2)}, {KEY._replace(sort=4): Entry(at(2))})),
        encode_delta(Delta({}, {1: at(2)}, {KEY: Entry()})),
    ]
    for data in wrong:
        with pytest.raises(FormatError):
            decode_delta(data)
    with pytest.raises(FormatError, match="a part"):
        HardNegatives.decode(encode_delta(Delta({1: at(1)}, {1: at(2)}, {KEY: Entry(at(2))})))
