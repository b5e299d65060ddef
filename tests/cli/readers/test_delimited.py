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


@pytest.mark.parametrize("size", [LINE_CHARS_MAX, LINE_CHARS_MAX + 5, 10 * LINE_CHARS_MAX + 3])
def test_a_line_too_long_is_one_broken_row_and_no_piece_of_it_a_row(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku\na\n" + "x" * size + "\nb\n")
    (chunk,) = CsvReader(path).chunks()
    assert chunk.column("sku") == ["a", "b"]
    assert chunk.rows.tolist() == [1, 3]
    ((reason, _, row),) = chunk.broken
    assert reason == "not CSV: a line of more than 1,048,576 characters"
    assert row == 2


def test_a_line_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    cells = ["x" * 65_535] * 16  # with commas and line end: LINE_CHARS_MAX
    path.write_text(",".join(f"c{n}" for n in range(16)) + "\n" + ",".join(cells) + "\n")
    (chunk,) = CsvReader(path).chunks()
    assert chunk.record(0) == {f"c{n}": cell for n, cell in enumerate(cells)}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_zstd_frames_after_each_other_are_one_file(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.csv.zst"
    skippable = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    rows = [b"n\n", b"1\n" * 200_000, b"2\n" * 3]
    path.write_bytes(skippable.join(zstandard.compress(part) for part in rows[:count]) + skippable)
    found = [n for chunk in CsvReader(path).chunks() for n in chunk.column("n")]
    assert found == b"".join(rows[1:count]).decode().split()


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
@pytest.mark.parametrize("damage", ["half", "a byte short", "second half", "no header"])
def test_damaged_compressed_data_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    pack = gzip.compress if suffix == ".csv.gz" else zstandard.compress
    path = tmp_path / f"a{suffix}"
    whole = pack(b"sku,n\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(50_000)))
    cut = {"half": whole[: len(whole) // 2], "a byte short": whole[:-1]}
    cut |= {"second half": whole + whole[: len(whole) // 2], "no header": b"\x00" * 8 + whole}
    path.write_bytes(cut[damage])
    with pytest.raises(UnreadableInput, match=r"a\.csv\..*damaged or cut off"):
        list(CsvReader(path).chunks())
