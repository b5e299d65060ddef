"""Plain tables that fit a terminal: text to the left, numbers to the right."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 80
TEXT_WIDTH_MIN: Final = 8  # a text column is not cut below this
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; ``text`` columns stand to the left and are cut when the table is too wide."""

    heading: str
    text: bool = False
    decimals: int | None = None  # of floats; by each value's size if None


def render_table(columns: Sequence[Column], rows: Sequence[Sequence[object]], *, width: int = WIDTH) -> str:
    """Return the table as lines of at most ``width`` characters, each ended by a line feed.

    Numbers get thousands separators, None is a dash.

    >>> print(render_table([Column("item", text=True), Column("score")], [["lamp", 1234.5]]), end="")
    item    score
    ────  ───────
    lamp  1,234.5
    """
    cells = [
        [format_cell(value, column.decimals) for value, column in zip(row, columns, strict=True)]
        for row in rows
    ]
    headings = [column.heading for column in columns]
    widths = [
        max(display_width(line[position]) for line in (headings, *cells)) for position in range(len(columns))
    ]
    _shrink(widths, columns, width)
    lines = [headings, ["─" * size for size in widths], *cells]
    return "".join(_line(line, columns, widths) for line in lines)


def format_cell(value: object, decimals: int | None = None) -> str:
    """Return a value as people read it; floats without ``decimals`` get at least three digits.

    >>> format_cell(1234567), format_cell(0.04567), format_cell(2.0, 3), format_cell(None)
    ('1,234,567', '0.0457', '2.000', '–')
    """
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() if decimals is not None:
            return f"{value:,.{decimals}f}"
        case float():
            return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Return text without the characters that would steer a terminal: stored names are other people's."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def display_width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def cut(text: str, width: int) -> str:
    """Return text that takes at most ``width`` columns; what was cut off shows as an ellipsis."""
    if display_width(text) <= width:
        return text
    while display_width(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def _shrink(widths: list[int], columns: Sequence[Column], limit: int) -> None:
    """Take what is too much from the widest text column, again and again."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - limit
    texts = [position for position, column in enumerate(columns) if column.text]
    while excess > 0 and texts:
        widest = max(texts, key=widths.__getitem__)
        if widths[widest] <= TEXT_WIDTH_MIN:
            return
        widths[widest] -= 1
        excess -= 1


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        shown = cut(cell, width) if column.text else cell
        padding = " " * (width - display_width(shown))
        parts.append(shown + padding if column.text else padding + shown)
    return _GAP.join(parts).rstrip() + "\n"
