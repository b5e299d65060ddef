"""One line of the table: what was measured, and against what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_HEAD: Final = ("goal", "work", "measured", "against", "ratio", "aim", "met")
_RIGHT: Final = {"measured", "ratio"}


@dataclass(frozen=True, slots=True)
class Row:
    """A measured value and, where there is a goal, the value it is held against, in the same unit.

    The goal is met where measured / against is at most ``at_most``, or at least ``at_least``. A value of
    None says that there is nothing to measure yet.
    """

    goal: str
    work: str
    measured: float | None
    unit: str = ""
    against: str = ""  # what the other value is of
    basis: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.basis is None or self.measured is None else self.measured / self.basis

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        ratio = self.ratio
        if ratio is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or ratio <= self.at_most) and (
            self.at_least is None or ratio >= self.at_least
        )

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        against = ratio = aim = ""
        if self.basis is not None:
            against = f"{self.against} {quantity(self.basis, self.unit)}".strip()
        if self.ratio is not None:
            ratio = f"{self.ratio:.2f}"
        if self.at_most is not None:
            aim = f"≤ {self.at_most:g}"
        if self.at_least is not None:
            aim = f"≥ {self.at_least:g}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        measured = "not yet" if self.measured is None else quantity(self.measured, self.unit)
        return self.goal, self.work, measured, against, ratio, aim, met


def quantity(value: float, unit: str) -> str:
    """Return a value in three significant digits, or whole, with its unit.

    >>> quantity(27.123, "ns"), quantity(12345.6, "ns"), quantity(0.0432, "s")
    ('27.1 ns', '12,346 ns', '0.0432 s')
    """
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table that reads well as plain text, too."""
    lines = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    rule = [
        "-" * (width - 1) + (":" if name in _RIGHT else "-")
        for name, width in zip(_HEAD, widths, strict=True)
    ]
    return "\n".join(_line(line, widths) for line in (lines[0], rule, *lines[1:]))


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if name in _RIGHT else cell.ljust(width)
        for name, cell, width in zip(_HEAD, cells, widths, strict=True)
    )
    return f"| {' | '.join(padded)} |"
