"""tidal._ext.arrow: every type as pyarrow sees it, every release once, nothing malformed followed."""

from __future__ import annotations

import gc
import itertools
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal._ext.arrow import Stream

pa = pytest.importorskip(
    "pyarrow", reason="pyarrow is the oracle of the Arrow reader; install the test group"
)


def python_values(values: np.ndarray, valid: np.ndarray | None, texts: list[str] | None) -> list[Any]:
    if texts is not None:
        plain: list[Any] = [texts[code] if texts else None for code in values.tolist()]
    elif values.dtype.kind == "M":
        plain = values.view(np.int64).tolist()
    else:
        plain = values.tolist()
    return plain if valid is None else [v if ok else None for v, ok in zip(plain, valid, strict=True)]


def read(source: object, index: int = 0) -> list[Any]:
    with Stream(source) as stream:
        return [value for chunk in stream for value in python_values(*chunk.column(index))]


def expected(column: Any) -> list[Any]:
    """What pyarrow says, times as the integers that they are stored as."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date64(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    return column.to_pylist()


INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
TIMES = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "Europe/Berlin")]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    if pa.types.is_dictionary(kind):
        return values_of(kind.value_type)
    if pa.types.is_integer(kind):
        low = 0 if str(kind).startswith("u") else -(2 ** (kind.bit_width - 1))
        return st.integers(low, low + 2**kind.bit_width - 1)
    if pa.types.is_floating(kind):
        return st.floats(width=kind.bit_width, allow_nan=False)
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_date32(kind):
        return st.integers(-(2**31), 2**31 - 1)
    if pa.types.is_date64(kind):
        return st.integers(-(10**6), 10**6).map(lambda days: days * 86_400_000)
    if pa.types.is_timestamp(kind):
        return st.integers(-(2**63) + 1, 2**63 - 1)
    if pa.types.is_null(kind):
        return st.none()
    return st.text(max_size=30) | st.sampled_from(["", "a", "a" * 12, "a" * 13, "é" * 40])


PLAIN = [
    *INTEGERS, pa.float16(), pa.float32(), pa.float64(), pa.bool_(), *TEXTS, *TIMES,
    pa.date32(), pa.date64(), pa.null(),
]  # fmt: skip
DICTIONARIES = [pa.dictionary(index, pa.string()) for index in INTEGERS] + [
    pa.dictionary(pa.int8(), value)
    for value in (pa.large_string(), pa.string_view(), pa.int64(), pa.float32())
]


@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("kind", PLAIN + DICTIONARIES, ids=str)
def test_reads_what_pyarrow_reads(kind: Any, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | values_of(kind), max_size=40))
    if pa.types.is_dictionary(kind):
        array = pa.array(values, kind.value_type) if kind.value_type != pa.string_view() else pa.array(values)
        plain = array.dictionary_encode()
        dictionary = plain.dictionary.cast(kind.value_type)
        array = pa.DictionaryArray.from_arrays(plain.indices.cast(kind.index_type), dictionary)
    else:
        array = pa.array(values, kind)
    cut = data.draw(st.integers(0, len(values)))
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    table = pa.table({"other": pa.nulls(len(values)), "c": pa.chunked_array([array[:cut], array[cut:]])})
    table = table.slice(start, stop - start)
    assert read(table, 1) == expected(table["c"])
    assert read(table["c"]) == expected(table["c"])
    batch = pa.record_batch({"c": array}).slice(start, stop - start)
    assert read(batch) == expected(batch["c"])
    struct_slice = pa.StructArray.from_arrays([array], ["c"]).slice(start, stop - start)
    assert read(struct_slice) == expected(struct_slice.field("c") if len(struct_slice) else array[:0])


def test_array_producers_and_null_structs() -> None:
    rows = pa.StructArray.from_arrays([pa.array([1, 2, None])], ["a"], mask=pa.array([False, True, False]))
    assert read(rows) == [1, None, None]
    assert read(pa.array(["x", None])) == ["x", None]


def test_each_distinct_text_is_kept_once_over_many_rows() -> None:
    rows = [f"key {i % 3000}" for i in range(10_000)]
    with Stream(pa.table({"c": rows})) as stream:
        values, valid, texts = next(stream).column(0)
    assert valid is None and texts is not None
    assert len(texts) == 3000 == len(set(texts))
    assert [texts[code] for code in values] == rows


def test_numbers_are_read_where_they_lie_and_are_read_only() -> None:
    array = pa.array(np.arange(1000, dtype=np.uint64))
    with Stream(pa.table({"c": array})) as stream:
        values, _, _ = next(stream).column(0)
    assert values.__array_interface__["data"][0] == array.buffers()[1].address
    assert not values.flags.writeable


def test_times_carry_their_unit() -> None:
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    with Stream(pa.table({"c": pa.array([moment], pa.timestamp("ms", "America/Lima"))})) as stream:
        values, _, _ = next(stream).column(0)
    assert values.dtype == "M8[ms]" and values[0] == np.datetime64("2024-05-01", "ms")


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"x"]),
        pa.array([[1]]),
        pa.array([1]).cast(pa.decimal128(19)),
        pa.array([1], pa.duration("s")),
    ],
    ids=lambda array: str(array.type),
)
def test_other_types_are_refused_by_name(array: Any) -> None:
    with (
        Stream(pa.table({"c": array})) as stream,
        pytest.raises(TypeError, match=r"Arrow type '.+' is not read"),
    ):
        next(stream).column(0)


@pytest.mark.parametrize("index", [-1, 1, 2**40])
def test_columns_that_are_not_there(index: int) -> None:
    for source in (pa.table({"c": [1]}), pa.array([1])):
        with Stream(source) as stream, pytest.raises(IndexError, match="of 1"):
            next(stream).column(index)


def test_sources_that_are_no_producers() -> None:
    with pytest.raises(TypeError, match="list has neither"):
        Stream([1])
    capsule = pa.table({"c": [1]}).__arrow_c_stream__()

    class Twice:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return capsule

    Stream(Twice()).close()
    with pytest.raises(ValueError, match="released already"):
        Stream(Twice())


# ------------------------------------------------------------------------------------ releases


def int64s(*numbers: int) -> bytes:
    return struct.pack(f"{len(numbers)}q", *numbers)


def int32s(*numbers: int) -> bytes:
    return struct.pack(f"{len(numbers)}i", *numbers)


def test_all_is_released_once_and_values_outlive_the_stream(fake_table: Any, fake_column: Any) -> None:
    table = fake_table([fake_column("l", [None, int64s(7, 8)], 2)], 2, chunks=3)
    with Stream(table) as stream:
        assert table.released == {"stream": 0, "schema": 1, "array": 0}
        kept = [chunk.column(0)[0] for chunk in stream]
        assert table.released == {"stream": 1, "schema": 1, "array": 0}
        assert list(stream) == []
    assert [values.tolist() for values in kept] == [[7, 8]] * 3
    kept.clear()
    gc.collect()
    assert table.released == {"stream": 1, "schema": 1, "array": 3}


@pytest.mark.parametrize("reads", [0, 1])
def test_a_stream_left_early_is_released(fake_table: Any, fake_column: Any, reads: int) -> None:
    table = fake_table([fake_column("l", [None, int64s(7)], 1)], 1, chunks=2)
    with Stream(table) as stream:
        for _ in range(reads):
            next(stream)
    assert table.released == {"stream": 1, "schema": 1, "array": reads}
    forgotten = Stream(table)
    del forgotten
    assert table.released["stream"] == 2


def test_errors_of_the_producer_release_all(fake_table: Any, fake_column: Any) -> None:
    table = fake_table([fake_column("l", [None, int64s(7)], 1)], 1, error="disk on fire")
    stream = Stream(table)
    next(stream)
    with pytest.raises(RuntimeError, match="disk on fire"):
        next(stream)
    assert table.released == {"stream": 1, "schema": 1, "array": 1}
    table = fake_table([], 0, schema_error="no table")
    with pytest.raises(RuntimeError, match="no table"):
        Stream(table)
    assert table.released == {"stream": 1, "schema": 0, "array": 0}


# ------------------------------------------------------------------------------------ malformed


def view(size: int, block: int = 0, offset: int = 0) -> bytes:
    return struct.pack("i4sii", size, b"aaaa", block, offset)


MALFORMED = {
    "offsets go back": ("u", [None, int32s(0, 4, 2, 6), b"abcdef"], 3),
    "offsets start below": ("u", [None, int32s(-4, 4), b"abcdef"], 1),
    "offsets past the last": ("u", [None, int32s(0, 2**30, 6), b"abcdef"], 2),
    "large offsets go back": ("U", [None, int64s(0, 4, 2), b"abcdef"], 2),
    "large offsets past the last": ("U", [None, int64s(0, 2**60, 6), b"abcdef"], 2),
    "text without data": ("u", [None, int32s(0, 4), None], 1),
    "text without offsets": ("u", [None, None, b""], 1),
    "view of no block": ("vu", [None, view(20, 1), b"a" * 20, int64s(20)], 1),
    "view of a negative block": ("vu", [None, view(20, -1), b"a" * 20, int64s(20)], 1),
    "view past its block": ("vu", [None, view(20, 0, 1), b"a" * 20, int64s(20)], 1),
    "view before its block": ("vu", [None, view(20, 0, -1), b"a" * 20, int64s(20)], 1),
    "view of negative size": ("vu", [None, view(-1), b"a" * 20, int64s(20)], 1),
    "views without sizes": ("vu", [None, view(20), b"a" * 20, None], 1),
    "view without any block": ("vu", [None, view(20), None], 1),
    "too few buffers": ("l", [None], 1),
    "too many buffers": ("l", [None, int64s(1), int64s(1)], 1),
    "no data": ("l", [None, None], 1),
    "no bits": ("b", [None, None], 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_columns_are_refused(fake_table: Any, fake_column: Any, name: str) -> None:
    code, buffers, length = MALFORMED[name]
    table = fake_table([fake_column(code, buffers, length)], length)
    with Stream(table) as stream, pytest.raises(ValueError):
        next(stream).column(0)
    gc.collect()
    assert table.released == {"stream": 1, "schema": 1, "array": 1}


@pytest.mark.parametrize(
    "change", [{"length": 1}, {"length": -1}, {"offset": -1}, {"offset": 2**62}, {"null_count": 1}], ids=str
)
def test_declared_counts_are_checked(fake_table: Any, fake_column: Any, change: dict[str, int]) -> None:
    column = fake_column(**{"format": "l", "buffers": [None, int64s(1, 2)], "length": 2, **change})
    with Stream(fake_table([column], 2)) as stream, pytest.raises(ValueError):
        next(stream).column(0)


@pytest.mark.parametrize("length", [-1, 2**31, 2**62])
def test_chunks_of_impossible_length(fake_table: Any, fake_column: Any, length: int) -> None:
    table = fake_table([fake_column("l", [None, int64s(1)], length)], length)
    with Stream(table) as stream, pytest.raises(ValueError, match="cannot be read"):
        next(stream)
    assert table.released == {"stream": 1, "schema": 1, "array": 1}


def test_chunks_of_another_width(fake_table: Any, fake_column: Any) -> None:
    table = fake_table([fake_column("l", [None, int64s(1)], 1)], 1, children_declared=0)
    with Stream(table) as stream, pytest.raises(ValueError, match="0 columns, its schema has 1"):
        next(stream)
    assert table.released == {"stream": 1, "schema": 1, "array": 1}


@pytest.mark.parametrize(
    ("code", "index"), [("c", b"\x02"), ("c", b"\xff"), ("C", b"\xff"), ("l", int64s(2)), ("L", int64s(-1))]
)
def test_indexes_outside_their_dictionary(fake_table: Any, fake_column: Any, code: str, index: bytes) -> None:
    inner = fake_column("u", [None, int32s(0, 1, 2), b"ab"], 2)
    column = fake_column(code, [None, index], 1, dictionary=inner)
    with Stream(fake_table([column], 1)) as stream, pytest.raises(ValueError, match="outside the dictionary"):
        next(stream).column(0)


def test_an_index_under_a_null_may_be_anything(fake_table: Any, fake_column: Any) -> None:
    inner = fake_column("u", [None, int32s(0, 1, 2), b"ab"], 2)
    column = fake_column("c", [b"\x02", b"\x7f\x01"], 2, null_count=1, dictionary=inner)
    assert read(fake_table([column], 2)) == [None, "b"]


def test_text_that_is_not_utf8_stays_bytes(fake_table: Any, fake_column: Any) -> None:
    column = fake_column("u", [None, int32s(0, 2, 3), b"\xff\xfea"], 2)
    assert read(fake_table([column], 2)) == [b"\xff\xfe", "a"]


def test_numbers_that_are_not_aligned_are_copied(fake_table: Any, fake_column: Any) -> None:
    class Shifted(fake_table):  # type: ignore[misc]
        def _array(self, column: Any) -> Any:
            made = super()._array(column)
            made.buffers[1] += 1
            return made

    column = fake_column("l", [None, b"\0" + int64s(5, 6)], 2)
    with Stream(Shifted([column], 2)) as stream:
        values, _, _ = next(stream).column(0)
    assert values.tolist() == [5, 6] and values.flags.aligned


# ------------------------------------------------------------------------------------ any bytes at all

NEAR = st.integers(-2, 40) | st.integers(-(2**31), 2**31 - 1)
VIEWS = st.lists(st.tuples(NEAR, st.binary(min_size=4, max_size=4), NEAR, NEAR), min_size=1, max_size=6)


def text_of_view(view: bytes, blocks: list[bytes]) -> bytes | None:
    size, block, start = (struct.unpack_from("i", view, at)[0] for at in (0, 8, 12))
    if 0 <= size <= 12:
        return view[4 : 4 + size]
    if size < 0 or start < 0 or not 0 <= block < len(blocks) or start + size > len(blocks[block]):
        return None
    return blocks[block][start : start + size]


@given(views=VIEWS, blocks=st.lists(st.binary(min_size=1, max_size=40), max_size=3))
def test_views_of_any_bytes(views: list[Any], blocks: list[bytes], fake_table: Any, fake_column: Any) -> None:
    packed = [struct.pack("i4sii", *view) for view in views]
    sizes = int64s(*map(len, blocks)) or None
    column = fake_column("vu", [None, b"".join(packed), *blocks, sizes], len(views))
    assert_reads(fake_table([column], len(views)), [text_of_view(view, blocks) for view in packed])


@given(
    offsets=st.lists(NEAR, min_size=1, max_size=6),
    data=st.binary(max_size=40),
    wide=st.booleans(),
)
def test_offsets_of_any_bytes(
    offsets: list[int], data: bytes, wide: bool, fake_table: Any, fake_column: Any
) -> None:
    offsets = [*offsets, len(data)]  # the last is the size of the data, for which there is only its word
    pairs = itertools.pairwise(offsets)
    expected = [data[a:b] if 0 <= a <= b <= len(data) else None for a, b in pairs]
    column = fake_column(
        "U" if wide else "u", [None, (int64s if wide else int32s)(*offsets), data], len(expected)
    )
    assert_reads(fake_table([column], len(expected)), expected)


def assert_reads(table: Any, expected: list[bytes | None]) -> None:
    if None in expected:
        with pytest.raises(ValueError, match=f"row {expected.index(None)}: its text"):
            read(table)
    else:
        found = [text if isinstance(text, bytes) else text.encode() for text in read(table)]
        assert found == expected
