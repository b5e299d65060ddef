"""tidal._ext.arrow_export: no copy of a number, every release once, nothing kept after the last one."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from arrow_abi import ArrowArray as Array
from arrow_abi import ArrowArrayStream as ArrayStream
from arrow_abi import ArrowSchema as Schema
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tidal._ext.arrow import Stream
from tidal._ext.arrow_export import export_batches, export_schema, export_stream

pa = pytest.importorskip("pyarrow", reason="pyarrow is the oracle of the exporter; install the test group")

NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


class Table:
    """What a consumer takes."""

    def __init__(self, columns: dict[str, np.ndarray], times: tuple[str, ...] = ()) -> None:
        self.columns, self.times = columns, times

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return export_stream(self.columns, self.times)

    def __arrow_c_schema__(self) -> object:
        return export_schema(self.columns, self.times)


def texts(values: list[str | None]) -> np.ndarray:
    return np.array(values, object)


# ------------------------------------------------------------------------------------ a consumer in ctypes


pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def move(source: Any) -> Any:
    """Take a struct from its owner, as the interface allows: copy it, then mark the source as released."""
    taken = type(source)()
    ctypes.memmove(ctypes.byref(taken), ctypes.byref(source), ctypes.sizeof(source))
    source.release = type(source.release)()
    return taken


def release(struct: Any) -> None:
    assert struct.release
    struct.release(struct)
    assert not struct.release


def take_stream(capsule: object) -> ArrayStream:
    return move(ArrayStream.from_address(pointer_of(capsule, b"arrow_array_stream")))


def call(function: Callable[..., int], stream: ArrayStream, out: Any) -> Any:
    """Return what a callback of the stream fills. It is called as C does: without the GIL."""
    ctypes.memset(ctypes.byref(out), 0xA5, ctypes.sizeof(out))  # what is not filled shows
    assert function(stream, out) == 0
    return out


# ------------------------------------------------------------------------------------ values


columns_of_one_length = st.integers(0, 40).flatmap(
    lambda rows: st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
        st.one_of(
            st.sampled_from([*NUMBERS, "?", ">i4", ">f8"]).flatmap(
                lambda kind: npst.arrays(kind, rows, elements={"allow_nan": False} if "f" in kind else None)
            ),
            st.lists(st.none() | st.text(st.characters(codec="utf-8")), min_size=rows, max_size=rows).map(
                texts
            ),
        ),
        max_size=5,
    )
)


@given(columns_of_one_length)
def test_pyarrow_sees_the_values(columns: dict[str, np.ndarray]) -> None:
    table = pa.table(Table(columns))
    table.validate(full=True)
    assert table.schema == pa.schema(Table(columns))
    assert table.to_pydict() == {name: values.tolist() for name, values in columns.items()}
    assert [column.null_count for column in table.columns] == [
        sum(value is None for value in values.tolist()) for values in columns.values()
    ]


@given(columns_of_one_length)
def test_the_importer_reads_back_what_was_exported(columns: dict[str, np.ndarray]) -> None:
    with Stream(Table(columns)) as stream:
        (chunk,) = stream
        assert stream.names == tuple(columns)
    for index, values in enumerate(columns.values()):
        read, valid, distinct = chunk.column(index)
        if distinct is None:
            assert valid is None
            np.testing.assert_array_equal(read, values)
        else:
            there = [True] * len(read) if valid is None else valid.tolist()
            codes = zip(read.tolist(), there, strict=True)
            assert [distinct[code] if ok else None for code, ok in codes] == values.tolist()


def test_times_are_timestamps_in_utc() -> None:
    ns = np.array([0, -1, 2**62], "i8")
    table = pa.table(Table({"t": ns, "n": ns}, times=("t",)))
    assert table.schema.types == [pa.timestamp("ns", "UTC"), pa.int64()]
    assert table["t"].cast("int64").to_pylist() == ns.tolist()


def test_types_and_names_are_those_of_the_schema() -> None:
    columns = {kind: np.zeros(1, kind) for kind in [*NUMBERS, "?"]} | {
        "größe": texts([None]),
        "U": np.array(["x"]),
    }
    expected = [pa.from_numpy_dtype(kind) for kind in [*NUMBERS, "?"]] + [pa.large_string()] * 2
    assert pa.schema(Table(columns)) == pa.schema(list(zip(columns, expected, strict=True)))


# ------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_not_copied(kind: str) -> None:
    values = np.arange(10).astype(kind)
    values.flags.writeable = False
    column = pa.table(Table({"x": values}))["x"].chunk(0)
    assert column.buffers()[1].address == values.ctypes.data


@pytest.mark.parametrize(
    "values",
    [np.arange(20)[::2], np.arange(10)[::-1], np.arange(10, dtype=">i8"), np.zeros(81, "u1")[1:].view("i8")],
    ids=["strided", "backwards", "big-endian", "unaligned"],
)
def test_what_arrow_cannot_point_at_is_copied(values: np.ndarray) -> None:
    assert pa.table(Table({"x": values}))["x"].to_pylist() == values.tolist()


def test_arrays_live_as_long_as_a_consumer_needs_them() -> None:
    values = np.arange(1000.0)
    alive = weakref.ref(values)
    table = pa.table(Table({"x": values, "flag": values > 3}))
    del values
    gc.collect()
    assert alive() is not None
    column = table["x"]
    del table
    gc.collect()
    assert alive() is not None and column[999].as_py() == 999.0
    del column
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("take", ["nothing", "stream", "schema", "batch"])
def test_nothing_is_kept_of_an_export_that_was_not_read_to_its_end(take: str) -> None:
    values = np.arange(1000.0)
    alive = weakref.ref(values)
    capsule = export_stream({"x": values})
    del values
    if take != "nothing":
        stream = take_stream(capsule)
        if take == "schema":
            release(call(stream.get_schema, stream, Schema()))
        if take == "batch":
            release(call(stream.get_next, stream, Array()))
        assert alive() is not None
        del capsule  # its destructor must leave a taken stream alone
        release(stream)
    else:
        del capsule
    assert alive() is None


def test_a_batch_outlives_its_stream_and_a_column_its_batch() -> None:
    values, other = np.arange(1000.0), np.arange(1000)
    alive, other_alive = weakref.ref(values), weakref.ref(other)
    stream = take_stream(export_stream({"x": values, "y": other}))
    schema = call(stream.get_schema, stream, Schema())
    batch = call(stream.get_next, stream, Array())
    address = values.ctypes.data
    del values, other
    release(stream)
    field, column = move(schema.children[0].contents), move(batch.children[0].contents)
    release(schema)
    release(batch)
    assert other_alive() is None and alive() is not None
    assert (field.format, field.name, field.flags) == (b"g", b"x", 2)
    assert column.buffers[1] == address and column.length == 1000
    release(field)
    worker = threading.Thread(target=release, args=(column,))
    worker.start()
    worker.join()
    assert alive() is None


def test_the_end_of_a_stream_stays_its_end_and_its_schema_stays() -> None:
    stream = take_stream(export_stream({"x": np.arange(3)}))
    release(call(stream.get_next, stream, Array()))
    for _ in range(2):
        assert not call(stream.get_next, stream, Array()).release
        release(call(stream.get_schema, stream, Schema()))
    assert stream.get_last_error(stream) is None
    release(stream)


def test_exports_of_one_table_do_not_know_each_other() -> None:
    values = np.arange(3)
    alive, address = weakref.ref(values), values.ctypes.data
    table = Table({"x": values, "s": texts(["a", None, "b"])})
    streams = [take_stream(table.__arrow_c_stream__()) for _ in range(3)]
    batches = [call(stream.get_next, stream, Array()) for stream in streams]
    del values, table
    *earlier, last = streams[1], batches[0], streams[0], batches[2], streams[2], batches[1]
    for struct in earlier:
        release(struct)
        assert alive() is not None
        assert last.length == 3 and last.children[0].contents.buffers[1] == address
    release(last)
    assert alive() is None


def test_a_capsule_that_was_renamed_is_destroyed_like_any() -> None:
    values = np.arange(3)
    alive = weakref.ref(values)
    capsule = export_stream({"x": values})
    assert ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), b"used_arrow_array_stream") == 0
    del values, capsule
    assert alive() is None


def test_no_export_leaks() -> None:
    columns = {"x": np.arange(64), "flag": np.ones(64, "?"), "s": texts(["text", None] * 32)}

    def export_all() -> None:
        export_stream(columns)
        export_schema(columns)
        pa.schema(Table(columns))
        pa.table(Table(columns))
        with pytest.raises(ValueError, match="differ in length"):
            export_stream({**columns, "short": np.zeros(1)})

    def traced() -> int:
        for _ in range(200):
            export_all()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        traced()
        before = traced()
        # One struct kept by each of 200 rounds is 14 kB at least; the exception machinery keeps a little.
        assert traced() - before < 8_000
    finally:
        tracemalloc.stop()


def test_a_table_kept_past_the_end_of_the_interpreter_is_harmless() -> None:
    program = (
        "import sys, builtins, numpy, pyarrow\n"
        "from tidal._ext.arrow_export import export_stream\n"
        "class Table:\n"
        "    def __arrow_c_stream__(self, requested_schema=None):\n"
        "        return export_stream({'x': numpy.arange(1000)})\n"
        "builtins.kept = [pyarrow.table(Table()), export_stream({'x': numpy.arange(1000)})]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("columns", "times", "error", "message"),
    [
        ({"a": np.zeros(2), "b": np.zeros(3)}, (), ValueError, "'a' and 'b' differ in length: 2 and 3 rows"),
        ({"a": np.zeros((2, 2))}, (), ValueError, "'a': 2 dimensions"),
        ({"a": np.array(1.0)}, (), ValueError, "'a': 0 dimensions"),
        ({"a": np.zeros(2, "c16")}, (), TypeError, "'a': complex128 is not exported"),
        ({"a": np.zeros(2, "M8[ns]")}, (), TypeError, "'a': datetime64.ns. is not exported"),
        ({"a": np.zeros(2, "f8")}, ("a",), TypeError, "'a': times are int64 ns, not float64"),
        ({"a": np.array(["x", 3], object)}, (), TypeError, "'a', row 1: 3 is neither str nor None"),
        ({"a": texts(["\ud800"])}, (), ValueError, "'a', row 0: .* is not valid Unicode"),
        ({"a\0b": np.zeros(1)}, (), ValueError, "zero byte"),
        ({"a\ud800": np.zeros(1)}, (), UnicodeEncodeError, "surrogates"),
    ],
)
def test_what_cannot_be_exported_says_why(
    columns: dict[str, np.ndarray], times: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export_stream(columns, times)


# ------------------------------------------------------------------------------------ batches

FIELDS = [("n", "uint64"), ("text", "string"), ("code", "string"), ("flag", "bool"), ("chat", "messages")]


class Batches:
    """Batches of two rows, made when they are asked for; ``arrays`` remembers the numbers of each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrays: list[weakref.ref[np.ndarray]] = []

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return export_batches(FIELDS, self.batches())

    def batches(self) -> Iterator[tuple[list[Any], int]]:
        for number in range(self.count):
            values = np.array([number, 2**64 - 1], np.uint64)
            self.arrays.append(weakref.ref(values))
            codes = (np.array([1, 0], np.uint8), ("a", "bb"))
            valid = np.array([True, False])
            yield [(values, valid), ["x", None], codes, (valid, None), [[("user", "hi")], None]], 2


def test_batches_are_made_when_they_are_asked_for() -> None:
    stream = Batches(3)
    reader = pa.RecordBatchReader.from_stream(stream)
    assert stream.arrays == []
    batch = reader.read_next_batch()
    assert len(stream.arrays) == 1
    assert batch.to_pylist() == [
        {"n": 0, "text": "x", "code": "bb", "flag": True, "chat": [{"role": "user", "content": "hi"}]},
        {"n": None, "text": None, "code": "a", "flag": False, "chat": None},
    ]
    batch.validate(full=True)


def test_batches_live_as_long_as_a_consumer_needs_them() -> None:
    stream = Batches(3)
    reader = pa.RecordBatchReader.from_stream(stream)
    first, second = reader.read_next_batch(), reader.read_next_batch()
    chat = second.column("chat").flatten()
    reader.close()
    del first, second, reader
    gc.collect()
    assert [array() is None for array in stream.arrays] == [True, False]  # pyarrow keeps a batch as a whole
    assert chat.to_pylist() == [{"role": "user", "content": "hi"}]
    del chat
    gc.collect()
    assert [array() is None for array in stream.arrays] == [True, True]


def test_an_error_of_a_batch_is_the_error_of_the_consumer() -> None:
    class Broken(Batches):
        def batches(self) -> Iterator[tuple[list[Any], int]]:
            yield from super().batches()
            raise ValueError("no more é")

    reader = pa.RecordBatchReader.from_stream(Broken(1))
    reader.read_next_batch()
    with pytest.raises(pa.ArrowInvalid, match="no more é"):
        reader.read_next_batch()


@pytest.mark.parametrize(
    ("columns", "count", "text"),
    [
        ([(np.zeros(2, np.uint64), None)], 3, "2 rows where 3 are due"),
        ([(np.zeros(2, np.uint64), np.ones(1, np.bool_))], 2, "1 validities for 2 values"),
        ([], 0, "argument"),
    ],
)
def test_batches_that_do_not_fit(columns: list[Any], count: int, text: str) -> None:
    capsule = export_batches([("n", "uint64")], iter([(columns, count)]))
    reader = pa.RecordBatchReader._import_from_c_capsule(capsule)
    with pytest.raises(pa.ArrowInvalid, match=text):
        reader.read_next_batch()
