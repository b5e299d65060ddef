"""What reads return, and that every Arrow consumer takes it: values, types, no copy, memory given back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import tidal
from tidal._ext.arrow import Stream
from tidal.answers import Columns, Ingested, Top
from tidal.ledger import Ranking

REASON = "the test group installs every Arrow consumer that is promised to work"
pa = pytest.importorskip("pyarrow", reason=REASON)
pl = pytest.importorskip("polars", reason=REASON)
pd = pytest.importorskip("pandas", reason=REASON)
duckdb = pytest.importorskip("duckdb", reason=REASON)

HOUR_NS = 3_600_000_000_000
ROWS = [
    (2**64 - 1, 0, 1.5, "a", True),
    (7, 1_700_000_000_123_456_789, -0.25, None, False),
    (0, -HOUR_NS, 0.0, "größe 🎈", True),
]


def columns_of(rows: list[tuple[Any, ...]]) -> Columns:
    ids, times, scores, keys, flags = zip(*rows, strict=True) if rows else ((),) * 5
    return Columns(
        {
            "entity_id": np.array(ids, "u8"),
            "last_time": np.array(times, "i8"),
            "score": np.array(scores, "f8"),
            "key": list(keys),
            "hot": np.array(flags, "?"),
        },
        times=("last_time",),
    )


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    """The rows of a pyarrow table, times as ns."""
    place = table.schema.get_field_index("last_time")
    table = table.set_column(place, "last_time", table["last_time"].cast("int64"))
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


# ------------------------------------------------------------------------------------ Columns


def test_columns_are_numpy_arrays_by_name() -> None:
    columns = columns_of(ROWS)
    assert list(columns) == list(columns.keys()) == ["entity_id", "last_time", "score", "key", "hot"]
    assert len(columns) == 5 and columns.rows == 3
    assert "score" in columns and "nope" not in columns
    assert columns["score"].tolist() == [1.5, -0.25, 0.0]
    assert columns["key"].dtype == object
    assert [values is columns[name] for name, values in columns.items()] == [True] * 5
    assert [len(values) for values in columns.values()] == [3] * 5
    assert dict(columns).keys() == columns.keys()
    assert repr(columns) == "Columns(3 rows: entity_id, last_time, score, key, hot)"
    with pytest.raises(KeyError, match="nope"):
        columns["nope"]


def test_times_must_name_columns() -> None:
    with pytest.raises(ValueError, match=r"times names \['t'\], the columns are \['a'\]"):
        Columns({"a": np.zeros(1)}, times=("t",))


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []], ids=len)
def test_every_consumer_sees_the_same_rows(rows: list[tuple[Any, ...]]) -> None:
    columns = columns_of(rows)
    table = pa.table(columns)
    assert rows_of(table) == rows
    assert table.schema == pa.schema(columns)
    assert table.schema.field("last_time").type == pa.timestamp("ns", "UTC")

    frame = pl.DataFrame(columns)
    assert frame.schema["last_time"] == pl.Datetime("ns", "UTC")
    assert frame.with_columns(pl.col("last_time").to_physical()).rows() == rows

    connection = duckdb.connect()
    query = "select entity_id, epoch_ns(last_time), score, key, hot from columns"
    assert connection.sql(query).fetchall() == rows

    for pandas in (table.to_pandas(), pd.DataFrame.from_arrow(columns)):
        assert str(pandas["last_time"].dtype) == "datetime64[ns, UTC]"
        assert pandas["entity_id"].tolist() == [row[0] for row in rows]
        assert pandas["last_time"].astype("int64").tolist() == [row[1] for row in rows]
        assert [None if pd.isna(key) else key for key in pandas["key"]] == [row[3] for row in rows]


def test_duckdb_computes_over_columns() -> None:
    columns = Columns({"entity_id": np.arange(100_000, dtype="u8"), "score": np.arange(100_000) * 0.5})
    query = "select count(*), sum(score), max(entity_id) from columns where entity_id % 2 = 1"
    expected = (50_000, float(columns["score"][1::2].sum()), 99_999)
    assert duckdb.connect().sql(query).fetchall() == [expected]


def test_a_table_without_columns() -> None:
    columns = Columns({})
    assert columns.rows == 0
    assert pa.table(columns).shape == pl.DataFrame(columns).shape == (0, 0)


def test_a_requested_schema_is_only_a_wish() -> None:
    columns = Columns({"x": np.arange(3)})
    wish = pa.schema([("x", pa.int32())])
    assert columns.__arrow_c_stream__(wish.__arrow_c_schema__()) is not None
    assert pa.table(columns, schema=wish)["x"].to_pylist() == [0, 1, 2]


def test_numbers_are_shared_and_given_back() -> None:
    scores = np.arange(10_000.0)
    address, alive = scores.ctypes.data, weakref.ref(scores)
    columns = Columns({"score": scores})
    del scores
    tables = [pa.table(columns), pa.table(columns)]
    frame = pl.DataFrame(columns)
    with Stream(columns) as stream:
        (chunk,) = stream
    read = chunk.column(0)[0]
    assert [table["score"].chunk(0).buffers()[1].address for table in tables] == [address] * 2
    assert frame["score"].to_numpy(allow_copy=False).ctypes.data == read.ctypes.data == address
    del columns, stream, chunk
    for holder in ("tables", "frame", "read"):
        gc.collect()
        assert alive() is not None, f"freed while {holder} needed it"
        if holder == "tables":
            del tables
        elif holder == "frame":
            del frame
        else:
            del read
    gc.collect()
    assert alive() is None


# ------------------------------------------------------------------------------------ Top


def top_of(keys: dict[int, str], ranking: list[tuple[int, float]]) -> Top:
    def names(ids: Iterable[int]) -> list[str | None]:
        return [keys.get(entity_id) for entity_id in ids]

    return Top(
        Ranking(np.array([i for i, _ in ranking], "u8"), np.array([v for _, v in ranking], "f8")), names
    )


def test_top_prints_keys_where_there_are_any() -> None:
    top = top_of({9: "sku:9"}, [(9, 2.5), (2**63, 1.0)])
    assert list(top) == [("sku:9", 2.5), (2**63, 1.0)]
    assert len(top) == 2 and top.keys == ["sku:9", None]
    assert repr(top) == f"Top('sku:9': 2.5, {2**63}: 1)"
    assert repr(top_of({}, [(i, 0.0) for i in range(6)])).endswith(", ...)")


@pytest.mark.parametrize("ranking", [[(9, 2.5), (2**63, 1.0)], []], ids=len)
def test_top_is_a_table(ranking: list[tuple[int, float]]) -> None:
    top = top_of({9: "sku:9"}, ranking)
    expected = [(i, "sku:9" if i == 9 else None, value) for i, value in ranking]
    assert pl.DataFrame(top).rows() == expected
    table = pa.table(top)
    assert table.column_names == ["entity_id", "key", "value"]
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
    assert table.schema == pa.schema(top)
    assert table.schema.types == [pa.uint64(), pa.large_string(), pa.float64()]


# ------------------------------------------------------------------------------------ a database


def test_what_a_database_answers_is_a_table() -> None:
    schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",), velocity=True).build()
    with tidal.open(schema=schema, clock=lambda: 10) as db:
        done = db.ingest(signal="view", entity_id=[3, 1, 3], timestamp=[0, 1, 2])
        assert done == Ingested(1, 3, 3)
        db.signal("view", "film", timestamp=3)
        table, columns = pa.table(db.read("view")), db.read("view")
        assert table.column_names == list(columns)
        assert table.schema.field("last_time").type == pa.timestamp("ns", "UTC")
        by_id = dict(zip(table["entity_id"].to_pylist(), table["count.1h"].to_pylist(), strict=True))
        assert by_id.pop(3) == 2 and list(by_id.values()) == [1, 1]
        best = pl.DataFrame(db.top("view", 3, by="count.all"))
        assert set(best["key"]) == {None, "film"} and best["entity_id"][0] == 3
        assert pa.table(db.read("view", at=10)).equals(table)
