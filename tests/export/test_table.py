"""Table: checked batches, read once; files that are whole or not there."""

from __future__ import annotations

import errno
import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow
import pytest
import zstandard
from blake3 import blake3

import tidal
from tidal.durable import OsFileSystem
from tidal.errors import ExportCancelled, InvalidOption, NoSpace
from tidal.export import Codes, Field, Table

Make = Callable[..., Table]
NAMES = ["out.jsonl", "out.csv", "out.jsonl.gz", "out.csv.zst", "out.parquet", "out.arrow"]


def numbers(count: int, batches: int) -> Iterator[Mapping[str, Any]]:
    for number in range(batches):
        yield {"n": np.arange(count, dtype=np.int64) + number * count}


def test_rows(table: Make) -> None:
    rows = list(table(2).rows())
    assert rows[1]["user_id"] == 2**63 + 1 and rows[0]["user_id"] is None
    assert [row["text"] for row in rows] == ['a "b", \\ é 🜲\n\t', None, ""]


def test_a_table_is_read_once(table: Make, tmp_path: Path) -> None:
    once = table()
    assert len(list(once.rows())) == 3
    for again in (once.rows, once.to_arrow, lambda: once.write(tmp_path / "a.csv"), once.__arrow_c_stream__):
        with pytest.raises(InvalidOption, match="read already"):
            list(again())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "column", "text"),
    [
        (Field("a", "uint64"), np.zeros(2, np.int64), "int64 is no uint64"),
        (Field("a", "float32"), np.zeros(2, np.float64), "float64 is no float32"),
        (Field("a", "float64"), np.array([1.0, np.nan]), "row 1: null or not finite"),
        (Field("a", "int64"), (np.zeros(2, np.int64), np.array([True, False])), "row 1: null"),
        (Field("a", "string"), ["x", None], "row 1: null"),
        (Field("a", "string"), ["x", 1], "row 1: 1 is neither str nor None"),
        (Field("a", "string"), Codes(np.array([0, 2], np.uint8), ("x",)), "a code of none of its 1 names"),
        (Field("a", "json"), Codes(np.array([0, 0], np.uint8), ("x",)), "codes are for string"),
        (Field("a", "json"), ["1", "{"], "Expecting"),
        (Field("a", "json"), ["1", "NaN"], "NaN is not JSON"),
        (Field("a", "messages"), [[("user", "hi")], [("user", 1)]], "1 is no text"),
        (Field("a", "int64"), np.zeros(3, np.int64), "different lengths"),
    ],
)
def test_what_does_not_fit_its_field_is_refused(field: Field, column: Any, text: str, tmp_path: Path) -> None:
    fields = [Field("first", "int64"), field]
    table = Table(fields, [{"first": np.zeros(2, np.int64), field.name: column}])
    with pytest.raises((ValueError, TypeError), match=text):
        table.write(tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_columns_of_another_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a batch has the columns \['b'\], its table \['a'\]"):
        list(Table([Field("a", "int64")], [{"b": [1]}]).rows())
    with pytest.raises(InvalidOption, match="two columns have one name"):
        Table([Field("a", "int64"), Field("a", "bool")], [])
    with pytest.raises(InvalidOption, match="'text' is none of"):
        Field("a", "text")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="no name"):
        Field("", "bool")


@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity_are_null_in_every_format(name: str, tmp_path: Path) -> None:
    values = np.array([np.nan, 1.0, -np.inf])
    table = Table(
        [Field("a", "float64", nullable=True), Field("b", "int64")], [{"a": values, "b": [1, 2, 3]}]
    )
    table.write(tmp_path / name)
    if name == "out.csv":
        assert (tmp_path / name).read_text() == "a,b\n,1\n1.0,2\n,3\n"
    if name == "out.jsonl":
        assert (tmp_path / name).read_text() == '{"a":null,"b":1}\n{"a":1.0,"b":2}\n{"a":null,"b":3}\n'
    if name in ("out.parquet", "out.arrow"):
        read = polars.read_parquet if name == "out.parquet" else polars.read_ipc
        assert read(tmp_path / name)["a"].to_list() == [None, 1.0, None]


# ------------------------------------------------------------------------------------ CSV


def test_formulas_in_csv_are_neutralised(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1", "", None, "1"]
    fields = [Field("=text", "string", nullable=True), Field("n", "int64")]

    def write(**options: Any) -> bytes:
        table = Table(fields, [{"=text": texts, "n": -np.arange(10)}])
        return b"".join(table.chunks("csv", **options))

    safe = write()
    assert safe.startswith(
        b"'=text,n\n'=1+1,0\n'+1,-1\n'-1,-2\n'@x,-3\n'\tx,-4\n\"'\rx\",-5\nx=1,-6\n\"\",-7\n,-8\n"
    )
    assert write(neutralise=False).startswith(b'=text,n\n=1+1,0\n+1,-1\n-1,-2\n@x,-3\n\tx,-4\n"\rx",-5\n')


def test_a_missing_value_in_a_single_column_is_no_empty_line() -> None:
    table = Table([Field("a", "string", nullable=True)], [{"a": ["x", None, "y"]}])
    assert b"".join(table.chunks("csv")) == b'a\nx\n""\ny\n'


# ------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("name", NAMES)
def test_a_file_and_its_manifest(table: Make, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    told: list[int] = []
    written = table(1).write(path, info={"why": "é"}, progress=told.append)
    data = path.read_bytes()
    assert (written.path, written.rows, written.bytes) == (path, 3, len(data))
    assert written.blake3 == blake3(data).hexdigest()
    assert told == sorted(told) and told[-1] == 3
    manifest = json.loads(written.manifest.read_bytes())
    assert written.manifest == tmp_path / f"{name}.manifest.json"
    assert (manifest["file"], manifest["rows"], manifest["bytes"]) == (name, 3, len(data))
    assert (manifest["blake3"], manifest["why"]) == (written.blake3, "é")
    assert manifest["columns"][1] == {"name": "user_id", "type": "uint64", "nullable": True}
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, written.manifest.name])
    assert b"".join(table(1).chunks(manifest["format"], manifest["compression"])) == data


def test_packed_files_are_the_plain_ones(table: Make, tmp_path: Path) -> None:
    plain = b"".join(table().chunks("jsonl"))
    assert gzip.decompress(b"".join(table().chunks("jsonl", "gzip"))) == plain
    packed = b"".join(table().chunks("jsonl", "zstd"))
    assert zstandard.get_frame_parameters(packed).has_checksum
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", [0, 2])
def test_an_error_of_the_rows_comes_out_as_it_is_and_leaves_nothing(
    tmp_path: Path, name: str, after: int
) -> None:
    def broken() -> Iterator[Mapping[str, Any]]:
        yield from numbers(100, after)
        raise tidal.CorruptLog("here", 7, "on purpose")

    path = tmp_path / name
    path.write_bytes(b"what was there before")
    with pytest.raises(tidal.CorruptLog, match="on purpose"):
        Table([Field("n", "int64")], broken()).write(path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"what was there before"


def test_an_error_of_the_rows_has_its_text_in_other_consumers() -> None:
    def broken() -> Iterator[Mapping[str, Any]]:
        yield from numbers(10, 1)
        raise ValueError("on purpose")

    fields = [Field("n", "int64")]
    with pytest.raises(ValueError, match=r"^on purpose$"):
        Table(fields, broken()).to_arrow()
    with pytest.raises(pyarrow.ArrowInvalid, match="on purpose"):
        pyarrow.table(Table(fields, broken()))
    with pytest.raises(Exception, match="on purpose"):
        polars.DataFrame(Table(fields, broken()))


@pytest.mark.parametrize("name", NAMES)
def test_cancelled(tmp_path: Path, name: str) -> None:
    seen: list[int] = []
    table = Table([Field("n", "int64")], numbers(1000, 10))
    with pytest.raises(ExportCancelled, match="cancelled after 3,000 rows"):
        table.write(
            tmp_path / name, progress=seen.append, cancelled=lambda: len(seen) == 3 + (".csv" in name)
        )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(OsFileSystem):
        def create(self, path: Path) -> Any:
            file = super().create(path)

            def append(parts: Any) -> int:
                raise NoSpace(errno.ENOSPC, "no space", str(path))

            file.append = append  # type: ignore[method-assign]
            return file

    with pytest.raises(NoSpace):
        Table([Field("n", "int64")], numbers(10, 1)).write(tmp_path / "out.csv", fs=Full())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("out", {}, "no suffix that says a format"),
        ("out.xml", {}, "no suffix that says a format"),
        ("out.csv", {"format": "parquet"}, "named as csv and the format is parquet"),
        ("out.parquet.gz", {}, "compressed inside"),
        ("out.csv.gz", {"compression": "zstd"}, "named as gzip"),
        ("out.arrow", {"compression": "gzip"}, "no gzip"),
        ("out.csv", {"compression": "lzma"}, 'one of "none"'),
        ("out.csv", {"format": "xml"}, "format is 'xml'"),
    ],
)
def test_formats_that_cannot_be(tmp_path: Path, name: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        Table([Field("n", "int64")], []).write(tmp_path / name, **options)


# ------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv.zst", "out.parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    def peak(batches: int) -> int:
        tracemalloc.start()
        try:
            Table([Field("n", "int64")], numbers(20_000, batches)).write(tmp_path / name)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is imported at first use
    assert peak(40) < 1.5 * peak(4) + 200_000
