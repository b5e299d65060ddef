"""Operations of sessions: in order, once, and none lost for coming too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError, InvalidOption, LimitExceeded
from tidal.regions import SessionBridge, SessionOp


def op(seq: int, session_id: int = 7) -> SessionOp:
    return SessionOp(session_id, seq, b"%d" % seq)


@given(order=st.permutations([1, 2, 3, 4, 5]), again=st.lists(st.integers(1, 5)))
def test_any_order_and_any_repetition_give_each_once_and_in_order(order: list[int], again: list[int]) -> None:
    bridge = SessionBridge()
    got = [it.seq for seq in [*order, *again] for it in bridge.receive(op(seq))]
    assert got == [1, 2, 3, 4, 5]
    assert bridge.missing(7) is None


def test_sessions_are_apart_and_a_gap_is_named() -> None:
    bridge = SessionBridge()
    assert bridge.receive(op(2, 1)) == [] and bridge.receive(op(1, 2)) == [op(1, 2)]
    assert (bridge.missing(1), bridge.missing(2), bridge.mark(2)) == (1, None, 1)


def test_marks_outlive_the_process_and_what_waits_is_sent_again() -> None:
    bridge = SessionBridge()
    for seq in (1, 2, 4):
        bridge.receive(op(seq))
    again = SessionBridge.decode(bridge.encode())
    assert again.encode() == bridge.encode()
    assert again.receive(op(2)) == [] and [it.seq for it in again.receive(op(3))] == [3]
    assert [it.seq for it in again.receive(op(4))] == [4]


def test_what_waits_and_who_is_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidal.regions.bridge.WAITING_MAX", 2)
    monkeypatch.setattr("tidal.regions.bridge.SESSIONS_MAX", 2)
    bridge = SessionBridge()
    for seq in (3, 4):
        bridge.receive(op(seq))
    with pytest.raises(LimitExceeded, match="wait for 1; send that first"):
        bridge.receive(op(5))
    assert [it.seq for it in bridge.receive(op(1))] == [1]  # what fills the gap is always taken
    bridge.receive(op(1, 8))
    with pytest.raises(LimitExceeded, match="more than 2 sessions"):
        bridge.receive(op(1, 9))
    bridge.forget(8)
    assert bridge.receive(op(1, 9)) == [op(1, 9)]


def test_sequences_begin_at_one() -> None:
    with pytest.raises(InvalidOption, match="they begin at 1"):
        SessionBridge().receive(op(0))


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1" + bytes(16), op(1).encode()])
def test_marks_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        SessionBridge.decode(data)


@pytest.mark.parametrize("data", [op(1).encode()[:-1], op(1).encode() + b"x", op(0).encode()])
def test_operations_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        SessionOp.decode(data)
