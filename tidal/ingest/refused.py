"""Rows that an ingest refuses: found column by column, then raised or handed back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.errors import InvalidEvent, TidalError

OnError = Literal["raise", "skip"]


class RefusedRow(NamedTuple):
    """One row that was not applied, and why. Rows are numbered from 0 over the whole input."""

    row: int
    column: str
    value: object
    reason: str


class _Finding(NamedTuple):
    rows: NDArray[np.intp]
    column: str
    value_at: Callable[[int], object]
    reason: str | Callable[[int], str]
    error: Callable[[RefusedRow], TidalError]


def invalid_event(refused: RefusedRow) -> TidalError:
    """Return the error that says of a refused row what its RefusedRow says."""
    return InvalidEvent(refused.reason, row=refused.row, column=refused.column, value=refused.value)


class Refusals:
    """What is wrong with one set of columns, whose first row has the number ``first_row``."""

    def __init__(self, first_row: int = 0) -> None:
        self._first_row = first_row
        self._findings: list[_Finding] = []

    def __bool__(self) -> bool:
        return bool(self._findings)

    def add(
        self,
        bad: NDArray[np.bool_],
        column: str,
        value_at: Callable[[int], object],
        reason: str | Callable[[int], str],
        error: Callable[[RefusedRow], TidalError] = invalid_event,
    ) -> None:
        """Refuse the rows where ``bad``; of two findings about one row the earlier counts."""
        rows = np.flatnonzero(bad)
        if len(rows):
            self._findings.append(_Finding(rows, column, value_at, reason, error))

    def column_error(self, column: str, value_at: Callable[[int], object], reason: str) -> TidalError:
        """Return the error of a column that is wrong as a whole; it names the first row as an example."""
        return invalid_event(RefusedRow(self._first_row, column, value_at(0), reason))

    def raise_first(self) -> None:
        """Raise the error of the first refused row, if there is one."""
        if self._findings:
            first = min(self._findings, key=lambda finding: int(finding.rows[0]))
            raise first.error(self._refused(first, int(first.rows[0])))

    def rows(self) -> tuple[RefusedRow, ...]:
        """Return every refused row once, in order."""
        refused: dict[int, RefusedRow] = {}
        for finding in self._findings:
            for row in finding.rows.tolist():
                if row not in refused:
                    refused[row] = self._refused(finding, row)
        return tuple(refused[row] for row in sorted(refused))

    def good(self, count: int) -> NDArray[np.bool_]:
        """Return which of ``count`` rows are not refused."""
        good = np.ones(count, np.bool_)
        for finding in self._findings:
            good[finding.rows] = False
        return good

    def _refused(self, finding: _Finding, row: int) -> RefusedRow:
        reason: Any = finding.reason
        text = reason if isinstance(reason, str) else reason(row)
        return RefusedRow(self._first_row + row, finding.column, finding.value_at(row), text)
