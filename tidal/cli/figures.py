"""Figures as text: rows of small bars, sizes, spans of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidal.cli.tables import format_cell

SPARKS: Final = "▁▂▃▄▅▆▇█"
ASCII_SPARKS: Final = "_.:-=+*#"

_SIZES: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_SPANS: Final = ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (120, 60, "min"))


def sparkline(values: Sequence[float], steps: str = SPARKS) -> str:
    """Return a character for each value, of a scale from 0 to the largest.

    >>> sparkline([0, 1, 2, 4, 8])
    '▁▂▃▅█'
    """
    top = max(values, default=0)
    if top <= 0:
        return steps[0] * len(values)
    return "".join(steps[min(len(steps) - 1, int(len(steps) * max(value, 0) / top))] for value in values)


def resampled(points: Sequence[tuple[float, float]], width: int, seconds: float) -> list[float]:
    """Return ``width`` rates, evenly spaced over the last ``seconds``: of each the newest point before its
    end, and nothing before the first point.

    >>> resampled([(30, 4.0), (10, 8.0), (0, 2.0)], 4, 40)
    [4.0, 4.0, 8.0, 2.0]
    """
    step = seconds / width
    ends = [seconds - step * (place + 1) for place in range(width)]
    kept = [(age, rate) for age, rate in points if age <= seconds]
    found = []
    for end in ends:
        newest = next((rate for age, rate in reversed(kept) if age >= end), None)
        if newest is not None:
            found.append(newest)
    return found


def format_bytes(value: float | None) -> str:
    """Return a size as people read it.

    >>> format_bytes(184), format_bytes(4_410_000), format_bytes(None)
    ('184 bytes', '4.21 MiB', '–')
    """
    if value is None:
        return "–"
    unit = 0
    while value >= 1024 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{format_cell(float(value)) if unit else format_cell(int(value))} {_SIZES[unit]}"


def format_span(seconds: float) -> str:
    """Return a time as people say it.

    >>> format_span(0.25), format_span(75), format_span(600), format_span(300_000)
    ('250 ms', '75 s', '10 min', '3.47 days')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for least, size, unit in _SPANS:
        if seconds >= least:
            return f"{format_cell(seconds / size) if size > 60 else round(seconds / size)} {unit}"
    return f"{seconds:.0f} s"
