"""What pyarrow, pandas, Polars and DuckDB read back of every format is what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from export_rows import FIELDS, ROWS

from tidal.export import Field, Table

Make = Callable[..., Table]
PACKED = ["", ".gz", ".zst"]
BINARY = ["rows.parquet", "rows.arrow"]


def rows_of(columns: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*(columns[field.name] for field in FIELDS), strict=True))


EXPECTED = rows_of(ROWS)


def plain(arrow: pyarrow.Table) -> list[tuple[Any, ...]]:
    """Arrow rows with times as ns."""
    time = arrow.column("time")
    assert time.type == pyarrow.timestamp("ns", "UTC")
    arrow = arrow.set_column(arrow.column_names.index("time"), "time", time.cast(pyarrow.int64()))
    return rows_of(arrow.to_pydict())


@pytest.fixture(params=[1, 2, 3])
def cut(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_arrow_consumers_take_the_table_itself(table: Make, cut: int) -> None:
    assert plain(table(cut).to_arrow()) == EXPECTED
    assert plain(pyarrow.table(table(cut))) == EXPECTED
    assert plain(polars.DataFrame(table(cut)).to_arrow()) == EXPECTED
    source = pyarrow.RecordBatchReader.from_stream(table(cut))
    assert plain(duckdb.sql("SELECT * FROM source").to_arrow_table().cast(source.schema)) == EXPECTED


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_arrow_ipc(table: Make, tmp_path: Path, compression: Any, cut: int) -> None:
    path = tmp_path / "rows.arrow"
    table(cut).write(path, compression=compression)
    with pyarrow.ipc.open_file(path) as file:
        assert plain(file.read_all()) == EXPECTED
    assert plain(polars.read_ipc(path).to_arrow()) == EXPECTED
    assert plain(pyarrow.Table.from_pandas(pandas.read_feather(path, dtype_backend="pyarrow"))) == EXPECTED


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_parquet(table: Make, tmp_path: Path, compression: Any, cut: int) -> None:
    path = tmp_path / "rows.parquet"
    table(cut).write(path, compression=compression)
    arrow = pyarrow.parquet.read_table(path)
    assert plain(arrow) == EXPECTED
    assert arrow.schema.field("text").type == pyarrow.string()
    assert plain(polars.read_parquet(path).to_arrow()) == EXPECTED
    assert plain(pyarrow.Table.from_pandas(pandas.read_parquet(path, dtype_backend="pyarrow"))) == EXPECTED
    found = duckdb.sql(f"SELECT * REPLACE (epoch_ns(time) AS time) FROM '{path}'").fetchall()
    assert found == EXPECTED


@pytest.mark.parametrize("suffix", PACKED)
def test_json_lines(table: Make, tmp_path: Path, suffix: str, cut: int) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    table(cut).write(path)
    names = [field.name for field in FIELDS]
    kinds = {"entity_id": "UBIGINT", "user_id": "UBIGINT", "change": "BIGINT", "weight": "FLOAT"}
    kinds |= {"score": "DOUBLE", "liked": "BOOLEAN", "text": "VARCHAR", "time": "BIGINT"}
    assert duckdb.read_json(str(path), format="newline_delimited", columns=kinds).fetchall() == EXPECTED
    if suffix != ".zst":
        frame = pandas.read_json(path, lines=True, dtype=False, orient="records")
        assert list(frame["text"].astype(object).where(frame["text"].notna(), None)) == ROWS["text"]
    types: dict[str, Any] = dict.fromkeys(["entity_id", "user_id"], polars.UInt64)
    types |= {"change": polars.Int64, "weight": polars.Float32, "score": polars.Float64}
    types |= {"liked": polars.Boolean, "text": polars.String, "time": polars.Int64}
    if not suffix:
        assert polars.read_ndjson(path, schema=types).rows() == EXPECTED
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert [list(line) for line in lines] == [names] * 3
        weights = [np.float32(line["weight"]) for line in lines]
        assert [tuple(line[name] for name in names if name != "weight") for line in lines] == [
            tuple(value for name, value in zip(names, row, strict=True) if name != "weight")
            for row in EXPECTED
        ]
        assert weights == [np.float32(weight) for weight in ROWS["weight"]]


@pytest.mark.parametrize("suffix", PACKED)
def test_csv(table: Make, tmp_path: Path, suffix: str, cut: int) -> None:
    path = tmp_path / f"rows.csv{suffix}"
    table(cut).write(path)
    kinds = {"entity_id": "UBIGINT", "user_id": "UBIGINT", "change": "BIGINT", "weight": "FLOAT"}
    kinds |= {"score": "DOUBLE", "liked": "BOOLEAN", "text": "VARCHAR", "time": "BIGINT"}
    options = f"header=true, columns={kinds}, quote='\"', escape='\"', nullstr='', allow_quoted_nulls=false"
    found = duckdb.sql(f"SELECT * FROM read_csv('{path}', {options})").fetchall()
    assert found == EXPECTED
    types: dict[str, Any] = dict.fromkeys(["entity_id", "user_id"], polars.UInt64)
    types |= {"change": polars.Int64, "weight": polars.Float32, "score": polars.Float64}
    types |= {"liked": polars.Boolean, "text": polars.String, "time": polars.Int64}
    read = polars.read_csv(path, schema=types)
    # Polars takes "" for missing, too.
    assert read.with_columns(polars.col("text").fill_null("")).rows() == [
        tuple(value if value is not None or place != 6 else "" for place, value in enumerate(row))
        for row in EXPECTED
    ]
    if suffix != ".zst":
        convert = pyarrow.csv.ConvertOptions(
            column_types={
                "entity_id": pyarrow.uint64(),
                "user_id": pyarrow.uint64(),
                "liked": pyarrow.bool_(),
            },
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        arrow = pyarrow.csv.read_csv(path, convert_options=convert, parse_options=parse)
        for name in ("entity_id", "user_id", "change", "liked", "text", "time"):
            assert arrow.column(name).to_pylist() == ROWS[name]
    if not suffix:
        texts = {"entity_id": "uint64", "user_id": "UInt64", "change": "Int64", "liked": "boolean"}
        frame = pandas.read_csv(path, dtype=texts)
        assert frame["entity_id"].tolist() == ROWS["entity_id"]
        assert frame["user_id"].tolist()[1:] == ROWS["user_id"][1:]


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", *BINARY])
def test_nothing_has_the_same_columns(table: Make, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    written = table(count=0).write(path)
    assert written.rows == 0
    names = [field.name for field in FIELDS]
    manifest = json.loads(written.manifest.read_text())
    assert [column["name"] for column in manifest["columns"]] == names
    assert [column["type"] for column in manifest["columns"]] == [field.type for field in FIELDS]
    if path.suffix == ".jsonl":
        assert path.read_bytes() == b""
    elif path.suffix == ".csv":
        assert path.read_text() == ",".join(names) + "\n"
    else:
        read = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.feather.read_table
        full = tmp_path / f"full{path.suffix}"
        table().write(full)
        assert read(path).schema == read(full).schema
        assert read(path).num_rows == 0


MESSAGES = [[("user", "hi\n"), ("assistant", 'say "x"')], [], None, [("system", "")]]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "arrow"])
def test_messages_and_json(tmp_path: Path, suffix: str) -> None:
    fields = [Field("messages", "messages", nullable=True), Field("extra", "json", nullable=True)]
    extra = ['{"a": [1, 2.5, null]}', "null", None, '"é"']
    path = tmp_path / f"chat.{suffix}"
    halves = [slice(0, 2), slice(2, 4)]
    Table(fields, [{"messages": MESSAGES[half], "extra": extra[half]} for half in halves]).write(path)
    due = [row and [{"role": role, "content": content} for role, content in row] for row in MESSAGES]
    if suffix == "jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["messages"] for line in lines] == due
        assert [line["extra"] for line in lines] == [text and json.loads(text) for text in extra]
    elif suffix == "csv":
        rows = duckdb.sql(f"SELECT messages, extra FROM read_csv('{path}', all_varchar=true)").fetchall()
        assert [row[0] and json.loads(row[0]) for row in rows] == due
        assert [row[1] and json.loads(row[1]) for row in rows] == [
            text and json.loads(text) for text in extra
        ]
    else:
        read = pyarrow.parquet.read_table if suffix == "parquet" else pyarrow.feather.read_table
        found = read(path).to_pydict()
        assert found["messages"] == due
        assert found["extra"] == ['{"a":[1,2.5,null]}', "null", None, '"é"']
        assert polars.from_arrow(read(path))["messages"].to_list() == due
