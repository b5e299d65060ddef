"""CSV: a header line, then rows of as many fields. Every value is text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.cli.readers.chunk import BrokenRow, chunked
from tidal.cli.readers.compressed import CountedFile, damage_named
from tidal.errors import UnreadableInput

LINE_CHARS_MAX: Final = 1 << 20  # a longer line is refused, so that no file can fill the memory


class CsvChunk:
    """Rows as lists of text."""

    def __init__(
        self,
        names: tuple[str, ...],
        rows: NDArray[np.int64],
        records: list[list[str]],
        broken: list[BrokenRow],
    ):
        self._names, self._records = names, records
        self.rows, self.broken = rows, broken

    def __len__(self) -> int:
        return len(self._records)

    def column(self, name: str) -> Sequence[str]:
        position = self._names.index(name)
        return [record[position] for record in self._records]

    def record(self, index: int) -> dict[str, Any]:
        return dict(zip(self._names, self._records[index], strict=True))


class CsvReader:
    """Reads RFC 4180 text, UTF-8 with or without a byte-order mark.

    Bytes that are not UTF-8 are kept as lone surrogates, so that only the rows that use them are refused.
    """

    typed = False

    def __init__(self, path: Path, *, delimiter: str = ",") -> None:
        self._path, self._delimiter = path, delimiter
        self._file: CountedFile | None = None
        self._names: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        if self._names is None:
            file = CountedFile(self._path)
            try:
                self._names = self._header(self._lines(file))
            finally:
                file.close()
        return self._names

    def chunks(self) -> Iterator[CsvChunk]:
        self._file = file = CountedFile(self._path)
        try:
            lines = self._lines(file)
            names = self._header(lines)
            for rows, records, broken in chunked(self._records(lines, len(names))):
                yield CsvChunk(names, rows, records, broken)
        finally:
            file.close()

    def share(self) -> float:
        return self._file.share() if self._file else 0.0

    def _lines(self, file: CountedFile) -> Iterator[list[str]]:
        text = file.text()
        return csv.reader(iter(lambda: _read_line(text), ""), delimiter=self._delimiter)

    def _records(self, lines: Iterator[list[str]], width: int) -> Iterator[list[str] | BrokenRow]:
        with damage_named(self._path):
            while True:
                try:
                    record = next(lines)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield BrokenRow(f"not CSV: {error}", "")
                    continue
                if len(record) == width:
                    yield record
                elif record:  # an empty line is no row
                    yield _wrong_width(record, width)

    def _header(self, lines: Iterator[list[str]]) -> tuple[str, ...]:
        with damage_named(self._path):
            try:
                names = next((record for record in lines if record), None)
            except csv.Error as error:
                raise UnreadableInput(f"{self._path}: the header is not CSV: {error}") from None
        if names is None:
            raise UnreadableInput(f"{self._path}: empty, not even a header line")
        if repeated := {name for name in names if names.count(name) > 1}:
            raise UnreadableInput(
                f"{self._path}: the header names {', '.join(map(repr, sorted(repeated)))} twice"
            )
        return tuple(names)


def _read_line(text: IO[str]) -> str:
    """Return the next line, or raise csv.Error for one that is too long: a piece of it is no row."""
    line = rest = text.readline(LINE_CHARS_MAX)
    while len(rest) == LINE_CHARS_MAX and not rest.endswith(("\n", "\r")):
        rest = text.readline(LINE_CHARS_MAX)
    if rest is not line:
        raise csv.Error(f"a line of more than {LINE_CHARS_MAX:,} characters")
    return line


def _wrong_width(record: list[str], width: int) -> BrokenRow:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(record)
    return BrokenRow(f"{len(record)} fields where the header has {width}", buffer.getvalue())
