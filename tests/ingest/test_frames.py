from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tidal.errors import InvalidEvent, MissingExtra, UnknownSignalType
from tidal.ingest import Prepared, prepare_columns, prepare_frames
from tidal.schema.events import EventBatch
from tidal.schema.spec import Schema

START = datetime(2023, 1, 1, tzinfo=UTC)
ROWS = {
    "signal": [("view", "reward")[i % 2] for i in range(100)],
    "entity_id": [f"sku:{i % 7}" for i in range(100)],
    "weight": [i / 4 - (20 if i % 2 else 0) for i in range(100)],
    "timestamp": [START + timedelta(minutes=i) for i in range(100)],
    "user_id": [None if i % 5 == 0 else 2**63 + i for i in range(100)],
    "session_id": [None if i % 3 == 0 else f"session {i % 11} of some length" for i in range(100)],
}


def same(a: EventBatch, b: EventBatch) -> None:
    for name in ("entity_id", "type_id", "weight", "timestamp"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("user_id", "session_id", "event_id"):
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.valid, other.valid)
    assert a.new_keys == b.new_keys


@pytest.fixture
def ingest(schema: Schema, rules: dict[str, Any]) -> Any:
    def call(source: Any, **options: Any) -> list[Prepared]:
        return list(prepare_frames(schema, source, **{**rules, **options}))

    return call


# ------------------------------------------------------------------------------------ producers


def from_pyarrow() -> Iterator[Any]:
    pa = pytest.importorskip("pyarrow", reason="pyarrow tables are promised to work; install the test group")
    types = {"user_id": pa.uint64()}
    table = pa.table({name: pa.array(values, types.get(name)) for name, values in ROWS.items()})
    yield table
    yield table.combine_chunks().to_batches()[0]
    yield pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        yield table.set_column(1, "entity_id", table["entity_id"].cast(pa.string()).cast(kind))
    for unit in ("s", "ms", "ns"):
        yield table.set_column(3, "timestamp", table["timestamp"].cast(pa.timestamp(unit, "UTC")))


def from_polars() -> Iterator[Any]:
    pl = pytest.importorskip("polars", reason="polars frames are promised to work; install the test group")
    frame = pl.DataFrame(ROWS, schema_overrides={"user_id": pl.UInt64})
    yield frame
    yield frame.with_columns(pl.col("entity_id", "signal").cast(pl.Categorical))
    yield frame.with_columns(pl.col("signal").cast(pl.Enum(["reward", "view", "unused"])))


def from_pandas() -> Iterator[Any]:
    pd = pytest.importorskip("pandas", reason="pandas frames are promised to work; install the test group")
    pytest.importorskip(
        "pyarrow", reason="pandas hands frames over by way of pyarrow; install the test group"
    )
    frame = pd.DataFrame(ROWS).astype({"user_id": "UInt64"})
    frame["user_id"] = pd.array(ROWS["user_id"], dtype="UInt64")
    yield frame
    yield frame.astype({"entity_id": "category"})
    yield pd.concat([frame, frame])[: len(frame)]
    yield (
        frame.iloc[::-1].iloc[::-1].set_index(np.arange(len(frame))[::-1])
    )  # labels that are no event's column


def from_duckdb() -> Iterator[Any]:
    duckdb = pytest.importorskip(
        "duckdb", reason="duckdb relations are promised to work; install the test group"
    )
    pa = pytest.importorskip("pyarrow", reason="the test hands its rows to duckdb as a pyarrow table")
    rows = pa.table({**ROWS, "user_id": pa.array(ROWS["user_id"], pa.uint64())})
    connection = duckdb.connect()
    connection.register("rows", rows)
    yield connection.sql("select * from rows")
    yield connection.sql("select * replace (timestamp at time zone 'UTC' as timestamp) from rows")


@pytest.mark.parametrize("producer", [from_pyarrow, from_polars, from_pandas, from_duckdb])
def test_every_producer_gives_the_batch_of_the_lists(
    ingest: Any, schema: Schema, rules: dict[str, Any], producer: Any
) -> None:
    expected = prepare_columns(schema, **ROWS, **rules).batch
    for source in producer():
        [(batch, refused)] = ingest(source)
        same(batch, expected)
        assert refused == ()


def test_duckdb_answers_the_next_query_right_after(ingest: Any) -> None:
    duckdb = pytest.importorskip(
        "duckdb", reason="duckdb relations are promised to work; install the test group"
    )
    connection = duckdb.connect()
    numbers = (
        "select range as entity_id, case when range = 5000 then -1e0 else 1e0 end as weight from range(9000)"
    )
    batches = ingest(connection.sql(numbers), signal="reward")
    assert sum(len(batch) for batch, _ in batches) == 9000
    assert connection.sql("select 1").fetchall() == [(1,)]
    with pytest.raises(InvalidEvent, match=r"row 5000, column 'weight', value -1\.0"):
        ingest(connection.sql(numbers), signal="view")
    assert connection.sql("select 2").fetchall() == [(2,)]


# ------------------------------------------------------------------------------------ chunks

pa = pytest.importorskip("pyarrow", reason="tables are made with it; install the test group")


def chunked(**columns: list[list[Any]]) -> Any:
    return pa.table({name: pa.chunked_array(chunks) for name, chunks in columns.items()})


def test_rows_are_numbered_over_all_chunks(ingest: Any) -> None:
    table = chunked(signal=[["view"] * 3, ["view", "vew"]], entity_id=[[1, 2, 3], [4, 5]])
    with pytest.raises(UnknownSignalType, match="row 4"):
        ingest(table)
    first, second = ingest(table, on_error="skip")
    assert (len(first.batch), len(second.batch)) == (3, 1)
    assert [(row.row, row.value) for row in second.refused] == [(4, "vew")]


def test_skipping_gives_chunk_by_chunk(schema: Schema, rules: dict[str, Any]) -> None:
    table = chunked(entity_id=[[1], [-2]])
    batches = iter(prepare_frames(schema, table, signal="view", **rules, on_error="skip"))
    assert len(next(batches).batch) == 1
    assert [row.row for row in next(batches).refused] == [1]
    assert next(batches, None) is None


def test_a_name_is_new_in_one_chunk_only(ingest: Any) -> None:
    table = chunked(entity_id=[["a", "b"], ["b", "c"]])
    batches = ingest(table, signal="view")
    assert [[new.key for new in batch.new_keys] for batch, _ in batches] == [["a", "b"], ["c"]]


def test_an_empty_table(ingest: Any) -> None:
    table = pa.table({"entity_id": pa.array([], pa.int64())})
    assert sum(len(batch) for batch, _ in ingest(table, signal="view")) == 0
    assert ingest(pa.RecordBatchReader.from_batches(table.schema, []), signal="view") == []
    with pytest.raises(InvalidEvent, match="column 'signal': not in the table"):
        ingest(table)


def test_nulls(ingest: Any) -> None:
    table = pa.table({"entity_id": [1, None, 3], "weight": [1.0, 1.0, None], "user_id": pa.nulls(3)})
    with pytest.raises(InvalidEvent, match="row 1, column 'entity_id', value None: missing"):
        ingest(table, signal="view")
    [(batch, refused)] = ingest(table, signal="view", on_error="skip")
    assert batch.entity_id.tolist() == [1] and batch.user_id is None
    assert [(row.row, row.column) for row in refused] == [(1, "entity_id"), (2, "weight")]


# ------------------------------------------------------------------------------------ columns


def test_columns_are_renamed(ingest: Any) -> None:
    table = pa.table({"StockCode": ["a"], "Quantity": [3], "user_id": [5], "Country": ["France"]})
    [(batch, _)] = ingest(table, signal="view", columns={"entity_id": "StockCode", "weight": "Quantity"})
    assert batch.weight.tolist() == [3] and batch.user_id.values.tolist() == [5]
    assert [new.key for new in batch.new_keys] == ["a"]


@pytest.mark.parametrize("name", ["entity_id", "entity", "key"])
def test_names_of_the_entity(ingest: Any, name: str) -> None:
    [(batch, _)] = ingest(pa.table({name: [5]}), signal="view")
    assert batch.entity_id.tolist() == [5]


def test_other_columns_are_ignored_only_when_asked(ingest: Any) -> None:
    table = pa.table({"entity_id": [1], "wieght": [2.0]})
    with pytest.raises(
        InvalidEvent, match=r"'wieght' is nothing that an event has; .*columns=\{\} to ignore"
    ):
        ingest(table, signal="view")
    [(batch, _)] = ingest(table, signal="view", columns={})
    assert batch.weight.tolist() == [1]


@pytest.mark.parametrize(
    ("table", "options", "reason"),
    [
        ({"entity_id": [1]}, {}, "column 'signal': not in the table, which has entity_id; .*signal="),
        (
            {"item": [1], "n": [2]},
            {"signal": "view"},
            "column 'entity_id': not in the table, which has item, n",
        ),
        ({"a": [1]}, {"columns": {"entity_id": "b"}}, "not in the table as 'b'; it has a"),
        (
            {"a": [1]},
            {"columns": {"entity": "a"}},
            "columns= names 'entity', which is not one of signal, entity_id",
        ),
        ({"entity_id": [1], "signal": ["view"]}, {"signal": "view"}, "given as signal= too"),
        ({"entity_id": [1]}, {"signal": ["view"]}, "one signal type is given"),
        ({"entity_id": [1]}, {"signal": "vew"}, "unknown signal type 'vew'"),
        (
            {"entity_id": [[1]]},
            {"signal": "view"},
            "column 'entity_id': in the table's rows from 0 on: Arrow type",
        ),
        ({"entity_id": [1.0]}, {"signal": "view"}, "a float cannot hold"),
        ({"entity_id": [True]}, {"signal": "view"}, "not an id"),
    ],
    ids=str,
)
def test_tables_that_do_not_fit(ingest: Any, table: Any, options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ingest(pa.table(table), **options)


def test_a_name_twice(ingest: Any) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["entity_id", "entity_id"])
    with pytest.raises(InvalidEvent, match="the table has 2 columns 'entity_id'"):
        ingest(table, signal="view")


def test_sources_that_are_no_tables(ingest: Any) -> None:
    with pytest.raises(InvalidEvent, match="this Int64Array is one column"):
        ingest(pa.array([1]))
    with pytest.raises(InvalidEvent, match="this dict cannot be read as an Arrow table"):
        ingest({})

    class Frame:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise ImportError("pyarrow is not installed")

    with pytest.raises(MissingExtra, match="reading a Frame needs pyarrow"):
        ingest(Frame())


def test_columns_of_mixed_types_say_what_to_do(ingest: Any) -> None:
    pd = pytest.importorskip(
        "pandas", reason="only pandas has columns of mixed types; install the test group"
    )
    frame = pd.DataFrame({"entity_id": [85123, "85123A"]}, dtype=object)
    with pytest.raises(
        InvalidEvent, match=r"this DataFrame cannot be read as an Arrow table: .*make each column one type"
    ):
        ingest(frame, signal="view")


# ------------------------------------------------------------------------------------ releases


def test_errors_release_the_stream_at_once(ingest: Any, fake_table: Any, fake_column: Any) -> None:
    def table(**options: Any) -> Any:
        column = fake_column("l", [None, struct.pack("q", -1)], 1, name="entity_id")
        return fake_table([column], 1, **options)

    for source, options in (
        (table(), {}),  # no signal column
        (table(), {"signal": "view"}),  # a bad row
        (table(chunks=0, error="gone"), {"signal": "view"}),
        (table(children_declared=3), {"signal": "view"}),
    ):
        with pytest.raises(InvalidEvent):
            ingest(source, **options)
        gc.collect()
        assert source.released["stream"] == source.released["schema"] == 1


def test_what_the_producer_says_is_passed_on(ingest: Any, fake_table: Any, fake_column: Any) -> None:
    column = fake_column("l", [None, struct.pack("q", 1)], 1, name="entity_id")
    with pytest.raises(InvalidEvent, match="cannot be read on from row 2: disk on fire"):
        ingest(fake_table([column], 1, chunks=2, error="disk on fire"), signal="view")


def test_text_that_is_not_utf8_is_a_refused_row(ingest: Any, fake_table: Any, fake_column: Any) -> None:
    column = fake_column("u", [None, struct.pack("3i", 0, 1, 2), b"a\xff"], 2, name="entity_id")
    [(batch, refused)] = ingest(fake_table([column], 2), signal="view", on_error="skip")
    assert len(batch) == 1
    assert [(row.row, row.value, row.reason) for row in refused] == [(1, b"\xff", "not valid UTF-8 text")]
