"""Counters, registers, and both by name."""

from __future__ import annotations

import numpy as np
import pytest

from tidal.errors import FormatError, InvalidOption, LimitExceeded
from tidal.regions import LWWRegister, NamedValues, PNCounter, Stamp
from tidal.regions.values import decode_values, encode_values

A, B = Stamp(1, 0, 1), Stamp(1, 0, 2)


def test_a_counter_is_never_below_zero_and_forgets_nothing() -> None:
    counter = PNCounter().add(1, 2).add(2, -5)
    assert counter.value == 0
    assert counter.add(1, 4).value == 1


def test_a_total_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InvalidOption, match="does not fit 64 bits"):
        PNCounter().add(1, 2**64 - 1).add(1, 1)


@pytest.mark.parametrize("amount", [2.5, "3", None])
def test_a_counter_counts_whole_things(amount: object) -> None:
    with pytest.raises(InvalidOption, match="is no integer"):
        PNCounter().add(1, amount)  # type: ignore[arg-type]
    assert type(PNCounter().add(1, np.int64(3)).nodes[1][0]) is int


def test_an_earlier_write_changes_nothing() -> None:
    register = LWWRegister().write(b"new", B)
    assert register.write(b"old", A) == register


def test_of_one_stamp_the_larger_bytes_win_on_both_sides() -> None:
    a, b = LWWRegister(b"a", A), LWWRegister(b"b", A)
    assert a.merge(b) == b.merge(a) == b


@pytest.mark.parametrize("value", ["text", b"x" * 65537])
def test_a_register_holds_bytes_of_a_bounded_length(value: bytes) -> None:
    with pytest.raises(InvalidOption, match="at most 65536 bytes"):
        LWWRegister().write(value, A)


def test_a_counter_and_a_register_may_have_one_name() -> None:
    values = NamedValues()
    values.update("n", lambda: PNCounter().add(1, 1))
    values.update("n", lambda: LWWRegister(b"x", A))
    assert (values.counter("n").value, values.register("n").value) == (1, b"x")
    assert decode_values(encode_values(values.items())) == values.items()


def test_a_change_that_cannot_be_kept_does_not_count() -> None:
    def keep(changes: object) -> None:
        raise LimitExceeded("full")

    values = NamedValues(keep)
    with pytest.raises(LimitExceeded):
        values.update("n", lambda: PNCounter().add(1, 1))
    assert values.counter("n").value == 0


def test_there_is_an_end_to_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidal.regions.values.NAMES_MAX", 2)
    values = NamedValues()
    for name in "ab":
        values.update(name, PNCounter)
    with pytest.raises(LimitExceeded, match="more than 2 named values"):
        values.update("c", PNCounter)


@pytest.mark.parametrize("name", ["", "x" * 256, 5])
def test_names_are_text(name: str) -> None:
    with pytest.raises(InvalidOption, match="text of 1 to 255 bytes"):
        NamedValues().counter(name)


@pytest.mark.parametrize(
    "data",
    [
        b"\x03" + b"\0\0\0\1a" + b"\0\0\0\0",
        b"\x01" + b"\0\0\0\0" + b"\0\0\0\0",
        b"\x01" + b"\0\0\0\1\xff" + b"\0\0\0\4\0\0\0\0",
        b"\x01" + b"\0\0\0\1a" + b"\0\0\0\5\0\0\0\0\0",
        2 * (b"\x01" + b"\0\0\0\1a" + b"\0\0\0\4\0\0\0\0"),
        b"\x02" + b"\0\0\0\1a" + b"\0\0\0\x13" + bytes(14) + b"\0\0\0\1x",
        b"\x01\xff\xff\xff\xff",
    ],
)
def test_what_no_encoder_writes_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_values(data)
