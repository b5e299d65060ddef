"""Messages of regions: sealed, cut into pieces, and sent to who lacks what they have."""

from __future__ import annotations

import struct
from itertools import count

import pytest
from blake3 import blake3

from tidal.errors import FormatError, FormatTooNew
from tidal.regions import HybridClock, NamedValues, PNCounter, ReconciliationEngine, ValuesPart
from tidal.regions.assembly import Assembly
from tidal.regions.exchange import Exchange
from tidal.regions.messages import Kind, decode_message, decode_piece, encode_message, pieces_of
from tidal.regions.reconcile import decode_summary, encode_summary

GROUP = bytes(16)
SECOND = 10**9


class Side:
    """A region that shares values, without a store."""

    def __init__(self, node: int, *, max_payload: int = 4096, group: bytes = GROUP) -> None:
        self.values = NamedValues()
        part = ValuesPart(self.values, HybridClock(node, lambda: 0))
        self.exchange = Exchange(
            ReconciliationEngine({"values": part}),
            node=node,
            members=frozenset({1, 2, 3}),
            group=group,
            interval_ns=SECOND,
            max_payload=max_payload,
        )
        self.node = node

    def add(self, name: str, amount: int) -> None:
        self.values.update(name, lambda: self.values.counter(name).add(self.node, amount))


def carry(messages: list[bytes], to: Side) -> list[bytes]:
    return [answer for message in messages for answer in to.exchange.on_message(message, 0)]


def test_what_one_lacks_the_other_sends_and_once_is_enough() -> None:
    a, b = Side(1), Side(2)
    a.add("x", 3)
    answers = carry(b.exchange.step(0), a)
    assert len(answers) == 1
    assert carry(answers + answers, b) == []
    assert b.values.counter("x").value == 3
    assert carry(b.exchange.step(SECOND), a) == [] and carry(a.exchange.step(0), b) == []


def test_nothing_is_sent_before_it_is_due() -> None:
    a = Side(1)
    assert len(a.exchange.step(5)) == 1
    assert a.exchange.step(5 + SECOND - 1) == [] and a.exchange.due == 5 + SECOND
    assert len(a.exchange.step(5 + SECOND)) == 1


def test_what_got_lost_is_sent_again_but_not_with_every_summary() -> None:
    a, b = Side(1), Side(2)
    a.add("x", 3)
    sent = [len(carry(b.exchange.step(number * SECOND), a)) for number in range(9)]
    assert sent == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_large_things_come_in_pieces_in_any_order() -> None:
    a, b = Side(1, max_payload=300), Side(2, max_payload=300)
    for number in range(100):
        a.add(f"name{number}", number + 1)
    answers = carry(b.exchange.step(0), a)
    assert len(answers) > 10 and max(map(len, answers)) <= 300
    carry(answers[::-1], b)
    assert b.values.items() == a.values.items()


def test_own_messages_and_those_of_strangers_are_not_taken() -> None:
    a, other, stranger = Side(1), Side(2, group=b"g" * 16), Side(9)
    assert carry(a.exchange.step(0), a) == [] and a.exchange.refused == 0
    carry(other.exchange.step(0), a)
    assert a.exchange.refusal == "node 2 is of another group, or has another schema"
    carry(stranger.exchange.step(0), a)
    assert a.exchange.refusal == "node 9 is none of the members [1, 2, 3]"
    assert a.exchange.refused == 2 and a.exchange.heard == {}


def test_a_changed_byte_is_refused_and_changes_nothing() -> None:
    a, b = Side(1), Side(2)
    a.add("x", 3)
    (answer,) = carry(b.exchange.step(0), a)
    for place in range(len(answer)):
        carry([answer[:place] + bytes([answer[place] ^ 4]) + answer[place + 1 :]], b)
    assert b.exchange.refused == len(answer) and b.values.items() == {}


@pytest.mark.parametrize("data", [b"", b"TdlG", encode_message(Kind.PIECE, 1, GROUP, b"")[:-1]])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_message(data, GROUP)


@pytest.mark.parametrize(
    ("version", "kind", "error"), [(2, 1, FormatTooNew), (0, 1, FormatError), (1, 9, FormatError)]
)
def test_versions_and_kinds_are_told_apart_under_a_good_hash(
    version: int, kind: int, error: type[Exception]
) -> None:
    head = struct.pack(">4sBBH16s", b"TdlG", version, kind, 1, GROUP)
    digest = blake3(b"tidal region message 1\0" + head).digest()
    with pytest.raises(error):
        decode_message(head + digest, GROUP)


def test_pieces_that_do_not_fit_together_are_refused() -> None:
    data = bytes(range(100))
    first, second, *_ = (decode_piece(it) for it in pieces_of(data, 40))
    with pytest.raises(FormatError, match="at most 99"):
        Assembly(99).add(1, first)
    wrong = Assembly(1000)
    wrong.add(1, first)
    with pytest.raises(FormatError, match="do not fit together"):
        wrong.add(1, second._replace(total=101))
    with pytest.raises(FormatError, match="more bytes than the whole"):
        wrong.add(1, second._replace(data=bytes(100)))
    single = decode_piece(next(pieces_of(data, 100)))
    with pytest.raises(FormatError, match="does not match its hash"):
        Assembly(1000).add(1, single._replace(data=bytes(100)))
    with pytest.raises(FormatError, match="piece 3 of 3"):
        decode_piece(struct.pack(">32sIIQ", bytes(32), 3, 3, 10))


def test_pieces_of_things_that_never_end_do_not_pile_up() -> None:
    assembly, numbers = Assembly(1 << 20), count()
    for _ in range(50):
        data = b"%09d" % next(numbers)
        assembly.add(1, decode_piece(next(pieces_of(data, 5))))
    assert sum(map(len, assembly._senders.values())) <= 4


def test_a_summary_has_each_part_once_and_in_order() -> None:
    summary = {"b": b"2", "a": b"1"}
    data = encode_summary(summary)
    assert decode_summary(data) == summary
    for wrong in (data + data, data[:-1], b"\0\0\0\1\xff\0\0\0\0"):
        with pytest.raises(FormatError):
            decode_summary(wrong)


def test_parts_that_are_not_known_are_passed_over() -> None:
    a, b = NamedValues(), NamedValues()
    a.update("x", lambda: PNCounter().add(1, 1))
    engine = ReconciliationEngine({"values": ValuesPart(a, HybridClock(1, lambda: 0))})
    newer = ReconciliationEngine({"more": ValuesPart(b, HybridClock(2, lambda: 0))})
    assert newer.plan(engine.summary()).lacks == ()
    assert [newer.apply(it) for it in engine.plan({"values": b""}).encode()] == [False]
