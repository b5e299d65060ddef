"""CSV: what is a row, what is broken, what is damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from tidal.cli.readers import chunk as chunk_module
from tidal.cli.readers.delimited import LINE_CHARS_MAX, CsvReader
from tidal.errors import UnreadableInput

TEXT = 'sku,title,n\na1,"one, two",3\nb2,"three\nlines",4\n\nc3,short\nd4,x,5\n'


def test_rows_keep_their_numbers_and_broken_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TEXT)
    reader = CsvReader(path)
    (chunk,) = reader.chunks()
    assert reader.names() == ("sku", "title", "n")
    assert chunk.rows.tolist() == [1, 2, 4]
    assert chunk.column("sku") == ["a1", "b2", "d4"]
    assert chunk.record(1) == {"sku": "b2", "title": "three\nlines", "n": "4"}
    assert chunk.broken == [("2 fields where the header has 3", "c3,short", 3)]
    assert reader.share() == 1.0


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst"])
def test_compressed_files_read_the_same(tmp_path: Path, suffix: str) -> None:
    pack = {".csv": bytes, ".csv.gz": gzip.compress, ".csv.zst": zstandard.compress}[suffix]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    (chunk,) = CsvReader(path).chunks()
    assert chunk.column("n") == ["3", "4", "5"]


def test_chunks_join_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_module, "CHUNK_ROWS", 3)
    path = tmp_path / "a.csv"
    path.write_text("n\n" + "".join(f"{n}\n" for n in range(8)))
    chunks = list(CsvReader(path).chunks())
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    assert [n for chunk in chunks for n in chunk.column("n")] == [str(n) for n in range(8)]
    assert [row for chunk in chunks for row in chunk.rows.tolist()] == list(range(1, 9))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfsku;n\na;1\n")
    assert CsvReader(path, delimiter=";").names() == ("sku", "n")


def test_an_endless_field_is_one_broken_row_or_more_but_never_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku,n\na,1\n" + "x" * (2 * LINE_CHARS_MAX) + "\nb,2\n")
    (chunk,) = CsvReader(path).chunks()
    assert chunk.column("sku") == ["a", "b"]
    assert all(row.reason.startswith("not CSV: field larger than") for row in chunk.broken)
    assert chunk.broken


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"\n\n", "empty"), (b"a,b,a\n1,2,3\n", "names 'a' twice")],
)
def test_a_header_that_cannot_be(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableInput, match=said):
        CsvReader(path).names()


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
def test_cut_off_compressed_data_is_named(tmp_path: Path, suffix: str) -> None:
    pack = gzip.compress if suffix == ".csv.gz" else zstandard.compress
    path = tmp_path / f"a{suffix}"
    whole = pack(b"sku,n\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2] if suffix == ".csv.gz" else b"\x00" * 8 + whole)
    with pytest.raises(UnreadableInput, match=r"a\.csv\..*damaged or cut off"):
        list(CsvReader(path).chunks())
