"""The side file: each row that was refused, with its number and the reason, as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self, TextIO

from tidal.cli.mapping import Refused

SUFFIX: Final = ".refused.jsonl"


class RefusedFile:
    """Writes refused rows; no row, no file. With ``append`` an old file goes on."""

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self.path = path
        self.count = 0
        self._append = append
        self._file: TextIO | None = None
        if not append:
            path.unlink(missing_ok=True)  # the rows of an earlier load

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, refused: Iterable[Refused]) -> None:
        """Add rows. A value that JSON cannot hold is written as its text."""
        for row in refused:
            if self._file is None:
                self._file = self.path.open("a" if self._append else "w", encoding="utf-8")
            json.dump(row._asdict(), self._file, default=str)
            self._file.write("\n")
            self.count += 1
