"""Figures that other pages repeat are those of docs/performance.md, rounded as they are written there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_ROW = re.compile(r"^\| (P\d+)? *\| (.+?) +\| +([\d.,]+) [^|]*\|", re.M)


def measured(goal: str, work: str) -> list[float]:
    """What was measured for a goal, of the rows whose work has this pattern in it."""
    found, of = [], ""
    for named, row, figure in _ROW.findall((ROOT / "docs" / "performance.md").read_text(encoding="utf-8")):
        of = named or of
        if of == goal and re.search(work, row):
            found.append(float(figure.replace(",", "")))
    assert found, f"{goal} has no row {work!r}"
    return found


def span(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]


LARGE = span(measured("P1", r"^(uniform|skewed|10 % late), 1,000,000|1,000 events/s"))
ALL = span(measured("P1", r"^(uniform|skewed|10 % late), "))
DURABLE = span(measured("P2", "^durable"))
ENTITY = [*measured("P6", "idle for eight days"), *measured("P6", "a week of events")]
LINES = measured("P2", "log of order lines")

README = {
    r"in memory \| (\d+) to (\d+) ns an event \((\d+) to (\d+) million": [
        *LARGE, 1e3 / LARGE[1], 1e3 / LARGE[0],
    ],
    r"synced to disk \| (\d+) to (\d+) ns an event \(([\d.]+) to ([\d.]+) million": [
        *DURABLE, 1e3 / DURABLE[1], 1e3 / DURABLE[0],
    ],
    r"order lines.*\| ([\d.]+) bytes": LINES,
    r"opening a store.*\| ([\d.]+) s": measured("P7", "300,000 in the log"),
    r"best hundred.*\| ([\d.]+) ms": measured("P5", r"top\(100\) by score"),
    r"live state again.*\| (\d+) to (\d+) million": span(measured("P3", "^archive replayed")),
    r"JSON Lines.*\| ([\d.]+) million": measured("P10", "^export, JSON Lines"),
    r"idle entity.*\| (\d+); (\d+) bytes": ENTITY,
}  # fmt: skip
SIZING = {
    r": idle \| (\d+) \(P6\)": ENTITY[:1],
    r"of a week \| (\d+) \(P6\)": ENTITY[1:],
    r"types × \((\d+) to (\d+)\)": ENTITY,
    r"([\d,]+) bytes an entity for ten thousand": measured("P12", "each of them")[:1],
    r"([\d.]+) for order lines": LINES,
    r"([\d.]+) to ([\d.]+) for hashed ids of which .*\(P3\)": span(measured("P3", "archive, an event")),
    r"into memory, in batches \| (\d+) to (\d+) ns": ALL,
    r"made durable, in batches \| (\d+) to (\d+) ns": DURABLE,
    r"of a million entities \| ([\d.]+) ms \(P5\)": measured("P5", r"top\(100\) by score"),
    r"/ ([\d.]+) GB/s \(P7\)": measured("P7", "^file read"),
    r"/ ([\d.]+) million a second \(P3\)": [min(measured("P3", "replayed"))],
}


@pytest.mark.parametrize(
    ("page", "pattern", "figures"),
    [("README.md", *it) for it in README.items()] + [("docs/ops/sizing.md", *it) for it in SIZING.items()],
)
def test_a_figure_that_is_repeated_is_the_one_that_was_measured(
    page: str, pattern: str, figures: list[float]
) -> None:
    said = re.search(pattern, (ROOT / page).read_text(encoding="utf-8"))
    assert said, f"{page} does not say it in these words any more"
    places = [len(text.partition(".")[2]) for text in said.groups()]
    written = [float(text.replace(",", "")) for text in said.groups()]
    assert written == [round(figure, digits) for figure, digits in zip(figures, places, strict=True)]
