"""Numbers and texts as JSON and CSV, held to Python's own."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidal._ext.text import TextColumn, csv_text, float_text, json_text, text_rows

EXPONENTS = [*range(-1074, 1024)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def single_digits(value: np.float32) -> Decimal:
    return Decimal(np.format_float_scientific(value, unique=True))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(9007199254740993.0)
@example(1e16)
@example(1e23)
@example(-0.0)
def test_a_float64_is_written_as_python_does(value: float) -> None:
    assert float_text(value) == repr(value)


def test_powers_of_two_and_their_neighbours() -> None:
    """Where the gap below is half as wide as the one above."""
    powers = np.ldexp(1.0, np.array(EXPONENTS))
    for values in (powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf)):
        assert [float_text(value) for value in values[np.isfinite(values)].tolist()] == [
            repr(value) for value in values[np.isfinite(values)].tolist()
        ]


def check_single(value: np.float32) -> None:
    text = float_text(float(value), single=True)
    assert np.float32(text).tobytes() == value.tobytes()
    assert Decimal(text) == single_digits(value)
    assert text == repr(float(text))  # the layout is one


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(1.1754943508222875e-38)
@example(-0.0)
def test_a_float32_has_its_fewest_digits(value: float) -> None:
    check_single(np.float32(value))


def test_single_powers_of_two_and_their_neighbours() -> None:
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    for value in [*powers, *np.nextafter(powers, np.float32(0)), *np.nextafter(powers, np.float32(np.inf))]:
        if np.isfinite(value):
            check_single(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("single", [False, True])
def test_what_is_not_finite_is_never_written(value: float, single: bool) -> None:
    with pytest.raises(ValueError, match="not finite"):
        float_text(value, single)


def test_what_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond float32"):
        float_text(1e39, single=True)


@given(st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(-(2**63), 2**63 - 1)))
@example([0, 9, 10, 99, 100, 10**19, 10**19 - 1, 2**64 - 1], [-(2**63), -1, 0])
def test_integers(unsigned: list[int], signed: list[int]) -> None:
    for values, kind, dtype in ((unsigned, "uint64", np.uint64), (signed, "int64", np.int64)):
        column = TextColumn(kind, np.array(values, dtype), None, b"", b"", b"")
        written = b"".join(chunk for chunk, _ in text_rows([column], b"\n"))
        assert [int(line) for line in written.split()] == values
        assert written.decode() == "".join(f"{value}\n" for value in values)


@given(TEXTS)
@example('"\\/\b\f\n\r\t\x00\x1f\x7f é 🜲')
@example('1234567"')
@example("12345678\\")
def test_json_text(text: str) -> None:
    written = json_text(text)
    assert json.loads(written) == text
    assert written.decode() == json.dumps(text, ensure_ascii=False)


@given(TEXTS, st.booleans())
@example('a,"b"\r\n', True)
@example("", True)
@example("=1+1", False)
@example('=HYPERLINK("x")', True)
@example("\t1", True)
def test_csv_text(text: str, is_safe: bool) -> None:
    read = next(csv.reader(io.StringIO(csv_text(text, is_safe).decode(), newline=""), strict=True))
    is_formula = is_safe and text[:1] in ("=", "+", "-", "@", "\t", "\r") and text != ""
    assert read == ["'" + text if is_formula else text]


def test_a_lone_surrogate_is_refused_with_its_row() -> None:
    with pytest.raises(ValueError, match=r"row 1: .* is not valid Unicode"):
        TextColumn("json", ["a", "\ud800"], None, b"", b"", b"")


@settings(max_examples=30)
@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=8))
def test_chunks_are_whole_rows_and_bounded(sizes: list[int]) -> None:
    texts: list[str | None] = ['"' * size for size in sizes]
    columns = [TextColumn("json", texts, None, b"{", b"", b"null"),
               TextColumn("int64", np.arange(len(sizes)), None, b",", b"", b"")]  # fmt: skip
    found = list(text_rows(columns, b"}\n"))
    assert sum(rows for _, rows in found) == len(sizes)
    assert b"".join(chunk for chunk, _ in found).decode() == "".join(
        f"{{{json.dumps(text)},{place}}}\n" for place, text in enumerate(texts)
    )
    for chunk, rows in found:
        assert rows >= 1 and chunk.endswith(b"}\n")
        assert len(chunk) <= 1 << 20 or rows == 1


def test_many_rows_are_cut_into_chunks() -> None:
    count = 200_000
    valid = np.arange(count) % 3 > 0
    column = TextColumn("uint64", np.arange(count, dtype=np.uint64), valid, b'{"a":', b"", b'{"a":null')
    found = list(text_rows([column], b"}\n"))
    assert len(found) > 1
    lines = [json.loads(line) for chunk, _ in found for line in chunk.splitlines()]
    assert [line["a"] for line in lines] == [i if i % 3 else None for i in range(count)]


def test_codes() -> None:
    codes = np.array([1, 0, 1], np.uint8)
    column = TextColumn("code", codes, None, b"", b"", b"", [b"zero", b"one" * 20])
    assert (
        b"".join(chunk for chunk, _ in text_rows([column], b";"))
        == b"one" * 20 + b";zero;" + b"one" * 20 + b";"
    )
    with pytest.raises(ValueError, match="code 1, and there are 1 names"):
        TextColumn("code", codes, None, b"", b"", b"", [b"zero"])


def test_what_does_not_fit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="values of 4 bytes, not 8"):
        TextColumn("uint64", np.zeros(3, np.uint32), None, b"", b"", b"")
    with pytest.raises(ValueError, match="2 validities for 3 values"):
        TextColumn("uint64", np.zeros(3, np.uint64), np.ones(2, np.bool_), b"", b"", b"")
    three = TextColumn("uint64", np.zeros(3, np.uint64), None, b"", b"", b"")
    two = TextColumn("json", ["a", "b"], None, b"", b"", b"")
    with pytest.raises(ValueError, match="columns of 3 and 2 rows"):
        list(text_rows([three, two], b"\n"))
