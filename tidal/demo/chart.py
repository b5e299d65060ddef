"""Lines over days as HTML and inline SVG: the drawing scales, the text does not.

Everything is placed in shares of the plot, so the same markup fits a phone and a wide screen; lines keep
their width because strokes are told not to scale. Colours are CSS variables ``--c0``, ``--c1``, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import Final

LABEL_GAP: Final = 0.105  # least distance of two labels at the lines' ends, in plot heights
LOWEST_LABEL: Final = 0.03  # lower ones would run into the strip
TICKS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a value for each day. ``color`` is the number of a CSS variable."""

    name: str
    values: Sequence[float]
    color: int


def line_chart(first_day: date, series: Sequence[Series], leaders: Sequence[int | None], unit: str) -> str:
    """Return the main chart: all lines in one plot, labels at their ends, a strip that shows who led.

    ``leaders`` holds for each day the position in ``series`` of the day's number one, or None.
    """
    top, ticks = nice_scale(max(max(line.values) for line in series))
    days = len(leaders)
    grid = "".join(
        f'<span class="tick" style="bottom:{100 * tick / top:.2f}%">{tick:,.0f}</span>' for tick in ticks
    )
    lines = "".join(
        f'<path class="line s{line.color}" d="{line_path(line.values, top)}"/>' for line in series
    )
    labels = "".join(
        f'<span class="end t{line.color}" title="{escape(line.name)}" style="bottom:{100 * height:.2f}%">'
        f"{escape(line.name)}<b>{line.values[-1]:,.0f}</b></span>"
        for line, height in zip(series, spread([line.values[-1] / top for line in series]), strict=True)
    )
    keys = "".join(f'<li class="t{line.color}">{escape(line.name)}</li>' for line in series)
    return (
        f'<ul class="keys" aria-hidden="true">{keys}</ul>'
        f'<p class="axis">{escape(unit)}</p>'
        '<div class="chart" id="chart" tabindex="0" role="img" '
        f'aria-label="{escape(", ".join(line.name for line in series))}: values by day">'
        f'<div class="plot">{grid}'
        f'<svg viewBox="0 0 {days - 1} 1000" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>'
        '<i class="cursor" hidden></i><div class="tip" hidden></div></div>'
        f'<div class="ends" aria-hidden="true">{labels}</div>'
        f'<div class="strip" aria-hidden="true">{_strip(leaders)}</div>'
        '<div class="striplabel" aria-hidden="true">in first place</div>'
        f'<div class="months" aria-hidden="true">{_months(first_day, days)}</div>'
        "</div>"
    )


def small_charts(first_day: date, series: Sequence[Series], remarks: Sequence[str]) -> str:
    """Return one small plot a line, all to the same scale, each with its name, a remark and its peak."""
    top, _ = nice_scale(max(max(line.values) for line in series))
    cards = []
    for line, remark in zip(series, remarks, strict=True):
        days = len(line.values)
        peak = max(range(days), key=line.values.__getitem__)
        share = peak / max(days - 1, 1)
        side = "right" if share > 0.6 else "left"
        place = 100 * (1 - share) if side == "right" else 100 * share
        height = 100 * line.values[peak] / top
        area = f"{line_path(line.values, top)} V1000 H0 Z"
        cards.append(
            f'<figure class="card"><figcaption class="t{line.color}">{escape(line.name)}'
            f"<small>{escape(remark)}</small></figcaption>"
            '<div class="plot">'
            f'<svg viewBox="0 0 {days - 1} 1000" preserveAspectRatio="none" aria-hidden="true">'
            f'<path class="area f{line.color}" d="{area}"/>'
            f'<path class="line s{line.color}" d="{line_path(line.values, top)}"/></svg>'
            f'<span class="peak {side}" style="{side}:{place:.2f}%;bottom:{height:.2f}%">'
            f"{line.values[peak]:,.0f} on {first_day + timedelta(days=peak):%d %b}</span></div>"
            f'<div class="months">{_months(first_day, days, every=3)}</div></figure>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def nice_scale(largest: float) -> tuple[float, list[float]]:
    """Return the top of a scale from 0 that holds ``largest``, and round values to mark on it.

    >>> nice_scale(6628)
    (7000.0, [0.0, 2000.0, 4000.0, 6000.0])
    """
    step = 1.0
    while largest / step > TICKS_MAX:
        step *= 2.5 if f"{step:.0e}".startswith("2") else 2
    ticks = [step * position for position in range(int(largest / step) + 1)]
    half = step / 2
    return max(half, half * -(-largest // half)), ticks


def line_path(values: Sequence[float], top: float) -> str:
    """Return an SVG path through the values, one unit a day, in a box 1000 high with 0 at the bottom.

    >>> line_path([0, 5, 10], 10)
    'M0 1000L1 500L2 0'
    """
    points = (f"{day} {round(1000 * (1 - max(value, 0) / top))}" for day, value in enumerate(values))
    return "M" + "L".join(points)


def spread(heights: Sequence[float]) -> list[float]:
    """Return heights at least LABEL_GAP apart, in the same order and as near to the given ones as it goes.

    >>> [round(height, 3) for height in spread([0.5, 0.5])]
    [0.448, 0.552]
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    groups: list[list[float]] = []  # [first height of the group, members]
    for height in (heights[position] for position in order):
        groups.append([max(height, LOWEST_LABEL), 1])
        while len(groups) > 1 and groups[-2][0] + groups[-2][1] * LABEL_GAP > groups[-1][0]:
            start, members = groups.pop()
            below, others = groups.pop()
            middle = below + others * LABEL_GAP  # where the upper group would start if pushed up alone
            groups.append([below - (middle - start) * members / (others + members), others + members])
            groups[-1][0] = max(groups[-1][0], LOWEST_LABEL)
    placed = [start + member * LABEL_GAP for start, members in groups for member in range(int(members))]
    result = [0.0] * len(heights)
    for position, height in zip(order, placed, strict=True):
        result[position] = height
    return result


def _strip(leaders: Sequence[int | None]) -> str:
    """Return a bar a run of days with the same leader."""
    bars = []
    start = 0
    for day in range(1, len(leaders) + 1):
        if day == len(leaders) or leaders[day] != leaders[start]:
            leader = leaders[start]
            color = "other" if leader is None else f"f{leader}"
            left, width = 100 * start / len(leaders), 100 * (day - start) / len(leaders)
            bars.append(f'<i class="{color}" style="left:{left:.2f}%;width:{width:.2f}%"></i>')
            start = day
    return "".join(bars)


def _months(first_day: date, days: int, every: int = 1) -> str:
    """Return a label at the first day of each month (of every third, say), with the year at one a year."""
    starts = [day for day in range(days) if (first_day + timedelta(days=day)).day == 1 and day < 0.98 * days]
    shown = [day for day in starts if (first_day + timedelta(days=day)).month % every == 1 % every]
    januaries = [day for day in shown if (first_day + timedelta(days=day)).month == 1]
    labels = []
    for day in shown:
        current = first_day + timedelta(days=day)
        year = f" <b>{current:%Y}</b>" if day in (januaries or shown[:1]) else ""
        minor = "" if current.month % 3 == 1 else ' class="minor"'
        labels.append(
            f'<span{minor} style="left:{100 * day / max(days - 1, 1):.2f}%">{current:%b}{year}</span>'
        )
    return "".join(labels)
