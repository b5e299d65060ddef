"""JSON Lines: what is a row and what is broken."""

from __future__ import annotations

from pathlib import Path

from tidal.cli.readers.jsonlines import LINE_BYTES_MAX, JsonLinesReader


def test_rows_broken_lines_and_missing_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 18446744073709551615, "w": 1.5}\n\n{"id": \n[1]\n{"id": 2}\n{"id"\n')
    reader = JsonLinesReader(path)
    (chunk,) = reader.chunks()
    assert chunk.rows.tolist() == [1, 4]
    assert chunk.column("id") == [2**64 - 1, 2]
    assert chunk.column("w") == [1.5, None]
    assert chunk.record(1) == {"id": 2}
    assert [(row.row, row.text) for row in chunk.broken] == [(2, '{"id":'), (3, "[1]"), (5, '{"id"')]
    assert chunk.broken[1].reason == "not a JSON object"
    assert reader.names() is None


def test_two_halves_of_an_object_are_two_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1\n"b": 2}\n{}\n')
    (chunk,) = JsonLinesReader(path).chunks()
    assert chunk.rows.tolist() == [3]
    assert [row.row for row in chunk.broken] == [1, 2]


def test_a_line_that_is_too_long_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "' + "x" * (3 * LINE_BYTES_MAX) + '"}\n{"a": 1}\n')
    (chunk,) = JsonLinesReader(path).chunks()
    assert chunk.column("a") == [1]
    (broken,) = chunk.broken
    assert broken.row == 1
    assert broken.reason == f"longer than {LINE_BYTES_MAX:,} bytes"
    assert len(broken.text) <= 1000


def test_deep_nesting_is_a_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 100_000 + "\n")
    (chunk,) = JsonLinesReader(path).chunks()
    assert len(chunk) == 0
    assert [row.row for row in chunk.broken] == [1]


def test_an_empty_file_has_no_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    assert list(JsonLinesReader(path).chunks()) == []
