"""What was done is known, up to a bound."""

from __future__ import annotations

import struct

import pytest
from blake3 import blake3

from tidal.errors import FormatError, InvalidOption
from tidal.regions import IdempotencyStore, idempotency_key


def test_the_key_is_of_session_sequence_and_bytes() -> None:
    assert idempotency_key(7, 2, b"x") == blake3(struct.pack(">QQ", 7, 2) + b"x").digest()[:16]
    assert len({idempotency_key(*it) for it in [(1, 2, b""), (2, 1, b""), (1, 2, b"x"), (1, 3, b"")]}) == 4


def test_the_oldest_is_forgotten_and_doing_again_does_not_renew() -> None:
    done = IdempotencyStore(2)
    a, b, c = (idempotency_key(1, seq, b"") for seq in (1, 2, 3))
    assert [done.add(it) for it in (a, b, a, c)] == [True, True, False, True]
    assert [it in done for it in (a, b, c)] == [False, True, True]
    assert len(done) == 2


def test_what_was_written_is_read_in_its_order() -> None:
    done = IdempotencyStore(3)
    for seq in range(5):
        done.add(idempotency_key(1, seq, b""))
    again = IdempotencyStore.decode(done.encode(), 3)
    assert again.encode() == done.encode()
    again.add(idempotency_key(1, 9, b""))
    assert idempotency_key(1, 2, b"") not in again and idempotency_key(1, 3, b"") in again


@pytest.mark.parametrize("most", [0, 100_001, "3"])
def test_the_bound_is_bounded(most: int) -> None:
    with pytest.raises(InvalidOption, match="choose 1 to 100000"):
        IdempotencyStore(most)


@pytest.mark.parametrize("data", [b"x", bytes(32), b"".join(bytes([n]) * 16 for n in range(3))])
def test_bytes_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        IdempotencyStore.decode(data, 2)


def test_a_key_has_sixteen_bytes() -> None:
    with pytest.raises(InvalidOption, match="idempotency_key"):
        IdempotencyStore().add(b"x")
