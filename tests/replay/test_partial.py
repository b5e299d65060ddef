"""Partial replays as bytes: what was written is read, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tidal
from tidal.errors import CorruptStore, FormatTooNew
from tidal.format.frame import HASH_BYTES
from tidal.format.snapshot import encode_snapshot
from tidal.ledger import SignalLedger
from tidal.replay import partial as module
from tidal.replay.partial import (
    Account,
    Covered,
    Partial,
    cut_by_shard,
    decode_partial,
    encode_partial,
    join_shards,
    joined,
)
from tidal.replay.source import LeftOut
from tidal.schema import Schema, schema_to_json
from tidal.testing.strategies import batches, schemas

PATH = Path("x.partial")
RUN = Covered("ab" * 16, 5, 9)
ACCOUNT = Account((RUN,), 3, 77, (LeftOut("a.arc", 6, 7, "damaged"),))
NAMES = {("item", 7): "ключ", ("user", 2**64 - 1): "", ("item", 3): "x" * 1000}


def partial_of(schema: Schema, ledger: SignalLedger) -> Partial:
    return Partial(schema, "job", ACCOUNT, *ledger.save(), NAMES)


@given(schemas(), st.data())
def test_round_trip(schema: Schema, data: st.DataObject) -> None:
    ledger = SignalLedger(schema, shards=3)
    for batch in data.draw(batches(schema)):
        ledger.apply(batch)
    one = partial_of(schema, ledger)
    encoded = b"".join(encode_partial(one))
    again = decode_partial(encoded, PATH)
    assert (again.schema, again.job, again.account, again.names) == (schema, "job", ACCOUNT, NAMES)
    assert b"".join(encode_partial(again)) == encoded
    loaded = SignalLedger(schema, shards=3)
    again.load_into(loaded)
    assert loaded.state_digest() == ledger.state_digest()
    shards = cut_by_shard(again, 3)
    assert sum(part.account.events for part in shards) == 3
    back = SignalLedger(schema, shards=3)
    join_shards(shards).load_into(back)
    assert join_shards(shards).names == NAMES
    assert back.state_digest() == ledger.state_digest()


@pytest.fixture(scope="module")
def encoded() -> bytes:
    schema = tidal.SchemaBuilder().signal("view", half_life="1d", windows=("1h",)).build()
    ledger = SignalLedger(schema)
    for entity in range(20):
        ledger.add("view", entity, 1.0, entity * 10**9)
    return b"".join(encode_partial(partial_of(schema, ledger)))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_other_bytes(encoded: bytes, data: st.DataObject) -> None:
    """Every flipped bit, every cut and every addition is an error with the file's name."""
    at = data.draw(st.integers(0, len(encoded) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "add"]))
    if how == "flip":
        changed = bytearray(encoded)
        changed[at] ^= 1 << data.draw(st.integers(0, 7))
        other = bytes(changed)
    else:
        other = encoded[:at] if how == "cut" else encoded + encoded[: at + 1]
    with pytest.raises((CorruptStore, FormatTooNew), match=r"x\.partial"):
        decode_partial(other, PATH)


GOOD: dict[str, Any] = {
    "what": module._WHAT, "job": "j", "ledger": {"clocks": {}, "shards": {}}, "covered": [], "events": 0,
    "until": None, "left_out": [],
}  # fmt: skip
SCHEMA_JSON = schema_to_json(tidal.SchemaBuilder().signal("view").build())


def written(meta: dict[str, Any], sections: dict[str, Any]) -> bytes:
    _, parts = encode_snapshot(
        seq=0, store_id=bytes(16), epoch=0, log_hash=bytes(HASH_BYTES), meta=meta, sections=sections
    )
    return b"".join(parts)


@pytest.mark.parametrize(
    ("meta", "sections"),
    [
        ({"what": "else"}, {}),
        ({"covered": [{"store_id": "a"}]}, {}),
        ({"covered": [{"store_id": "a", "first_seq": "1", "last_seq": 2}]}, {}),
        ({"covered": 3}, {}),
        ({"events": "many"}, {}),
        ({"until": [1]}, {}),
        ({"left_out": [{"name": "a"}]}, {}),
        ({}, {"schema": b"{}"}),
        ({}, {"schema": np.zeros(3)}),
        ({}, {"keys/item/text": np.zeros(3)}),
        (
            {},
            {"keys/item/text": b"\xff", "keys/item/id": np.ones(1, "u8"), "keys/item/end": np.ones(1, "i8")},
        ),
        ({}, {"keys/item/text": b"ab", "keys/item/id": np.ones(2, "u8"), "keys/item/end": np.ones(1, "i8")}),
    ],
)
def test_whole_files_of_another_content(meta: dict[str, Any], sections: dict[str, Any]) -> None:
    """Every hash is right: somebody wrote it so."""
    assert decode_partial(written(GOOD, {"schema": SCHEMA_JSON}), PATH).account.events == 0
    with pytest.raises(CorruptStore, match=r"x\.partial"):
        decode_partial(written({**GOOD, **meta}, {"schema": SCHEMA_JSON, **sections}), PATH)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: replace(it, arrays={}),
        lambda it: replace(it, meta={"clocks": {"hate": 1}, "shards": {"hate": 1}}),
        lambda it: replace(it, meta={**it.meta, "shards": {}}),
        lambda it: replace(it, arrays={name: array[:-1] for name, array in it.arrays.items()}),
    ],
)
def test_a_state_that_does_not_fit_its_schema(encoded: bytes, change: Callable[[Partial], Partial]) -> None:
    wrong = change(decode_partial(encoded, PATH))
    with pytest.raises(CorruptStore):
        wrong.load_into(SignalLedger(wrong.schema))


def test_runs_that_follow_each_other_are_one() -> None:
    runs = [Covered("b", 1, 2), Covered("a", 6, 9), Covered("a", 1, 5), Covered("a", 11, 12)]
    assert joined(runs) == (Covered("a", 1, 9), Covered("a", 11, 12), Covered("b", 1, 2))
    shards = [Covered("a", 1, 5), Covered("a", 6, 9, shard=1)]
    assert joined(shards) == tuple(shards)
    assert not shards[0].overlaps(Covered("a", 1, 5, region=1))
    assert shards[0].overlaps(Covered("a", 5, 9)) and not shards[0].overlaps(Covered("a", 6, 9))
