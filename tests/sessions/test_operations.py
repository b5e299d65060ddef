"""Operations as bytes: each comes back, equal ones are equal bytes, and nothing else is taken."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from format_pages import FOLDER, tables
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError
from tidal.ledger import SignalLedger
from tidal.schema import SchemaBuilder
from tidal.schema.events import NOTE_BYTES_MAX, batch_of_rows
from tidal.sessions import Annotation, Closed, Hint, Opened, Operation, decode, encode, operations_of
from tidal.sessions.operations import _NAMES, DEPTH_MAX
from tidal.testing import ModelLedger, assert_agrees

u64 = st.integers(0, 2**64 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
kinds = st.sampled_from(["item", "user", "creator"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
operations = st.one_of(
    st.builds(Opened, text, st.none() | text),
    st.builds(Closed, st.sampled_from(["closed", "expired"])),
    st.builds(Hint, u64, u64, st.none() | text, st.floats(allow_nan=False, allow_infinity=False), kinds),
    st.builds(Annotation, u64, text | st.dictionaries(text, values, max_size=3), kinds),
)


@given(operations)
def test_operations_come_back(operation: Operation) -> None:
    data = encode(operation)
    assert decode(data) == operation
    assert encode(decode(data)) == data


@given(operations, st.data())
def test_changed_bytes_are_refused_or_another_operation(operation: Operation, data: st.DataObject) -> None:
    changed = bytearray(encode(operation))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        assert encode(decode(bytes(changed))) == changed


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"7", b"\xff", b'{"op":["open"]}', b'{"op":"dance"}', b'{"op":"close"}',
        b'{"op":"close","reason":"closed"} ', b'{"reason":"closed","op":"close"}',
        b'{"op":"close","reason":"tired"}', b'{"agent":"a","op":"open","policy":null,"x":1}',
        b'{"agent":7,"op":"open","policy":null}', b'{"agent":"\\u0061","op":"open","policy":null}',
        b'{"entity_id":1,"kind":"item","note":NaN,"op":"annotation"}', b"[" * 100_000,
        b'{"entity_id":18446744073709551616,"kind":"item","note":"","op":"annotation"}',
    ],
)  # fmt: skip
def test_what_is_no_operation_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="operation of a session"):
        decode(data)


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Opened(7), "text"),  # type: ignore[arg-type]
        (Opened("a", b"v"), "text"),  # type: ignore[arg-type]
        (Opened("\ud800"), "surrogates"),
        (Opened("a" * NOTE_BYTES_MAX), "the most is 65535"),
        (Closed("tired"), "tired"),  # type: ignore[arg-type]
        (Hint(-1, 2), "64 bits"),
        (Hint(1, 2**64), "64 bits"),
        (Hint(True, 2), "64 bits"),
        (Hint(1, 2, 3), "prompt"),  # type: ignore[arg-type]
        (Hint(1, 2, strength=float("nan")), "finite"),
        (Hint(1, 2, strength=1), "finite float"),
        (Hint(1, 2, kind="dog"), "no kind"),
        (Annotation(1, None), "text or a mapping"),  # type: ignore[arg-type]
        (Annotation(1, {"a": object()}), "JSON"),
        (Annotation(1, {"a": float("inf")}), "Out of range"),
        (Annotation(1, {1: "a", 10: "b", 2: "c"}), "keys"),  # type: ignore[dict-item]
        (Annotation(1, {1: "a", "b": "b"}), "JSON"),  # type: ignore[dict-item]
        (Annotation(1, nested(DEPTH_MAX + 1)), "32 levels"),
    ],
)
def test_what_the_log_cannot_hold_is_refused(operation: Operation, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        encode(operation)


def test_the_deepest_note_comes_back() -> None:
    deepest = Annotation(1, nested(DEPTH_MAX))
    assert decode(encode(deepest)) == deepest


def test_operations_are_of_the_rows_that_have_them() -> None:
    rows = [(1, 0, 1.0, 5, None, 3, None), (0, 255, 0.0, 6, 7, 3, None), (1, 255, 0.0, 7, 7, 3, None)]
    batch = batch_of_rows(rows)
    assert list(operations_of(batch)) == []
    hint = Hint(1, 2)
    batch = replace(batch, notes=(encode(Opened("a")), encode(hint)))
    assert list(operations_of(batch)) == [(1, Opened("a")), (2, hint)]
    assert list(operations_of(batch.where(np.array([True, False, True])))) == [(1, hint)]
    assert list(operations_of(batch.rows(1, 2))) == [(0, Opened("a"))]


def test_the_page_names_every_field() -> None:
    page = (FOLDER / "sessions.md").read_text()
    documented = {(row[0].strip("`"), row[1].strip("`")) for row in tables(page)["op:" + title(page)]}
    assert documented == {(name, each.name) for name, kind in _NAMES.items() for each in fields(kind)}
    example = page.split("```json\n")[1].split("\n```")[0].encode()
    assert decode(example) == Opened("ranker-3", "v1")
    assert str(NOTE_BYTES_MAX) in page and f"{DEPTH_MAX} levels" in page
    assert json.loads(example)["op"] == "open"


def title(page: str) -> str:
    return next(name.removeprefix("op:") for name in tables(page) if name.startswith("op:"))


def test_operations_change_no_score() -> None:
    schema = SchemaBuilder().signal("view", half_life="1d").build()
    rows = [(1, 0, 1.0, 5, 7, 3, None), (9, 255, 0.0, 6, 7, 3, None), (2, 0, 1.0, 7, 7, 3, None)]
    batch = replace(batch_of_rows(rows), notes=(encode(Hint(9, 2)),))
    ledger, model = SignalLedger(schema), ModelLedger(schema)
    assert ledger.count_new(batch) == 2
    for part in (batch, batch.rows(1, 2)):
        ledger.apply(part)
        model.apply_batch(part)
    assert_agrees(ledger, model, 10)
    assert (ledger.entity_count(), ledger.newest(), model.entities("view")) == (2, 7, [1, 2])
