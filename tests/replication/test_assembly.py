"""Runs put together from parts that come in any order."""

from __future__ import annotations

import itertools

import pytest

from tidal.replication.assembly import Assembly
from tidal.replication.messages import Batch


def parts(first_seq: int, last_seq: int, data: bytes, size: int) -> list[Batch]:
    header = bytes([first_seq]) * 128
    return [
        Batch(header, 128, first_seq, last_seq, 0, len(data), at, data[at : at + size])
        for at in range(0, len(data), size)
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_come_in_any_order_and_doubled(order: tuple[int, ...]) -> None:
    assembly, all_parts = Assembly(), parts(1, 9, b"abcdefgh", 3)
    for number in order:
        assert assembly.next_after(0) is None
        assembly.add(all_parts[number])
        assembly.add(all_parts[number])
    run = assembly.next_after(0)
    assert run is not None
    assert run.data == b"abcdefgh"
    assert (assembly.next_after(0), assembly.held_bytes) == (None, 0)


def test_runs_wait_for_what_is_before_them() -> None:
    assembly = Assembly()
    for batch in [*parts(10, 19, b"later", 9), *parts(1, 9, b"first", 9)]:
        assembly.add(batch)
    first = assembly.next_after(0)
    assert first is not None
    assert first.data == b"first"
    assert assembly.next_after(0) is None
    later = assembly.next_after(9)
    assert later is not None
    assert later.data == b"later"


def test_what_is_old_is_forgotten() -> None:
    assembly = Assembly()
    for batch in [*parts(1, 9, b"first", 9), *parts(5, 19, b"over", 2)[:1]]:
        assembly.add(batch)
    assert assembly.next_after(9) is None
    assert assembly.held_bytes == 2
    assert assembly.next_after(19) is None
    assert assembly.held_bytes == 0


def test_no_more_is_held_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidal.replication.assembly.WAITING_BYTES_MAX", 100)
    assembly = Assembly()
    for number in range(20):
        for batch in parts(1 + number, 1 + number, bytes([number]) * 30, 30):
            assembly.add(batch)
        assert assembly.held_bytes <= 100
    run = assembly.next_after(0)
    assert run is not None  # the earliest are kept
    assert run.data == bytes(30)
    assembly.clear()
    assert assembly.held_bytes == 0
