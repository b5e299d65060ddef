"""Every decoder, given what no encoder wrote under right hashes, and noise: what can be, or a named error.

tests/soak/fuzz.py runs the same targets for longer; tests/helpers/bytekit/targets.py has them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from bytekit.fuzzing import ALL, MARGIN_BYTES, fuzz
from bytekit.guards import Hang
from bytekit.targets import Input, rich_batch

import tidal
from tidal.errors import FormatError, SchemaError
from tidal.format.document import decode_document
from tidal.format.payload import decode_payload, encode_payload
from tidal.schema import schema_from_json, schema_to_json
from tidal.store import decode_identity

INPUTS = 2_000
DEAR = {name: 500 for name in ("region signals", "region change", "region exchange", "partial replay")}
MEASURED = 150


@pytest.mark.parametrize("name", ALL)
def test_a_decoder_returns_what_can_be_or_raises_what_it_names(name: str) -> None:
    inputs = DEAR.get(name, INPUTS)
    outcome = fuzz(name, ALL[name], "ci", inputs)
    assert outcome.problems == []
    assert min(outcome.accepted, outcome.refused) > inputs // 50  # both sides are tried


@pytest.mark.parametrize("name", ALL)
def test_a_decoder_holds_no_more_than_it_declares(name: str) -> None:
    assert fuzz(name, ALL[name], "memory", MEASURED, measured=True).problems == []


def test_valid_batches_come_back_whole() -> None:
    rng = random.Random(17)
    for number in range(300):
        batch = rich_batch(rng)
        encoded = encode_payload(batch, number, small=number % 2 == 0)
        again = decode_payload(memoryview(encoded.payload), len(batch))
        assert encode_payload(again, number, small=number % 2 == 0).payload == encoded.payload


def test_the_runner_sees_errors_that_are_not_named_values_that_cannot_be_memory_and_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bytekit.guards.HANG_SECONDS", 0.01)

    def broken(decode: object, **changes: object) -> str:
        (problem,) = fuzz("broken", base._replace(decode=decode, **changes), "x", 1, measured=True).problems
        return problem

    base = ALL["seal"]._replace(make=lambda _: Input(b""), cap=lambda _: 0)
    assert "KeyError" in broken(lambda _: {}["key"])
    assert "no encoder" in broken(lambda _: 1, check=lambda *_: False)
    assert "bytes held" in broken(lambda _: len(bytes(2 * MARGIN_BYTES)))
    assert Hang.__name__ in broken(lambda _: [None for _ in iter(int, 1)])


@pytest.mark.parametrize("around", ['{"a":%s}', '{"blake3":"00","format":1,"signals":%s}'])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
def test_json_of_any_depth_is_refused_by_name(around: str, pair: tuple[str, str]) -> None:
    """Some depths can be read, and not be written again for their hash."""
    for depth in (*range(940, 1010), 100_000):
        data = (around % (pair[0] * depth + "1" + pair[1] * depth)).encode()
        with pytest.raises(FormatError):
            decode_document(data, version=1, fields=("a",), bytes_max=1 << 20)
        with pytest.raises(FormatError):
            decode_identity(data)
        with pytest.raises(SchemaError):
            schema_from_json(data)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_type_that_the_schema_lacks_is_named(tmp_path: Path, read_only: bool) -> None:
    """A schema.json out of an older backup: its bytes are good, and the log knows a type that it does not."""
    old = tidal.SchemaBuilder().signal("view", half_life="7d").build()
    new = tidal.SchemaBuilder().signal("view", half_life="7d").signal("like").build()
    store = tmp_path / "s"
    with tidal.open(store, schema=new, clock="event") as db:
        db.signal("view", 1, timestamp=1)
        db.signal("like", 1, timestamp=2)
    for checkpoint in (store / "checkpoints").iterdir():
        checkpoint.unlink()
    (store / "schema.json").write_bytes(schema_to_json(old))
    with pytest.raises(tidal.CorruptStore, match="type with id 1, which the schema does not have"):
        tidal.open(store, clock="event", read_only=read_only)
    (store / "schema.json").write_bytes(schema_to_json(new))
    with tidal.open(store, clock="event", read_only=read_only) as db:
        assert db.count("like", 1, "all") == 1
