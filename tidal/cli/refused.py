"""The side file: each row that was refused, with its number and the reason, as JSON Lines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                self._file.close()  # may fail as the write did that is being reported

    def write(self, refused: Sequence[Refused]) -> None:
        """Add rows. A value that JSON cannot hold is written as its text."""
        if not refused:
            return
        try:
            if self._file is None:
                self._file = self.path.open("a" if self._append else "w", encoding="utf-8")
            self._file.writelines(_json_line(row) for row in refused)
            self._file.flush()
        except OSError as error:
            error.add_note(
                f"why {len(refused):,} rows from row {refused[0].row} to {refused[-1].row} were refused "
                "could not be written; name another file with --refused"
            )
            raise
        self.count += len(refused)


def _json_line(row: Refused) -> str:
    fields = row._asdict()
    try:
        return json.dumps(fields, default=str, allow_nan=False) + "\n"
    except ValueError:  # not-a-number and infinity, which JSON Lines files of others do hold
        return json.dumps(fields | {"value": str(row.value), "record": str(row.record)}) + "\n"
