"""JSON Lines: one object a line; values keep their JSON type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.cli.readers.chunk import BrokenRow, chunked
from tidal.cli.readers.compressed import CountedFile, damage_named

LINE_BYTES_MAX: Final = 1 << 20  # a longer line is refused, so that no file can fill the memory
TEXT_KEPT: Final = 1000  # characters of a line that is not JSON that go to the side file


class JsonChunk:
    """Rows as dictionaries; a name that a row lacks is None in the column."""

    def __init__(
        self, rows: NDArray[np.int64], records: list[dict[str, Any]], broken: list[BrokenRow]
    ) -> None:
        self._records = records
        self.rows, self.broken = rows, broken

    def __len__(self) -> int:
        return len(self._records)

    def column(self, name: str) -> Sequence[Any]:
        return [record.get(name) for record in self._records]

    def record(self, index: int) -> dict[str, Any]:
        return self._records[index]


class JsonLinesReader:
    """Reads one JSON object a line, UTF-8; empty lines are no rows."""

    typed = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: CountedFile | None = None

    def names(self) -> None:
        return None

    def chunks(self) -> Iterator[JsonChunk]:
        self._file = file = CountedFile(self._path)
        try:
            for rows, records, broken in chunked(map(_parse, self._lines(file))):
                yield JsonChunk(rows, records, broken)
        finally:
            file.close()

    def share(self) -> float:
        return self._file.share() if self._file else 0.0

    def _lines(self, file: CountedFile) -> Iterator[bytes]:
        """Yield the lines that are not empty; of one that is too long, only its beginning."""
        with damage_named(self._path):
            while line := file.stream.readline(LINE_BYTES_MAX):
                rest = line
                while len(rest) == LINE_BYTES_MAX and not rest.endswith(b"\n"):
                    rest = file.stream.readline(LINE_BYTES_MAX)
                if line.strip():
                    yield line


def _parse(line: bytes) -> dict[str, Any] | BrokenRow:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        long = len(line) == LINE_BYTES_MAX
        reason = f"longer than {LINE_BYTES_MAX:,} bytes" if long else f"not JSON: {error}"
    else:
        if isinstance(record, dict):
            return record
        reason = "not a JSON object"
    return BrokenRow(reason, line.decode(errors="replace").strip()[:TEXT_KEPT])
