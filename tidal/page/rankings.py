"""The best entities of a signal type, each with its events of late, bar by bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.page.watched import Watched
from tidal.schema import SignalType
from tidal.schema.durations import NS_PER_SECOND
from tidal.schema.measures import COUNT, SCORE, VELOCITY, measures_of, parse_measure
from tidal.schema.spec import WINDOW_SECONDS

ROWS: Final = 10
BARS: Final = {"1h": 30, "24h": 24, "7d": 28}  # each a whole number of the window's buckets
_CHART_OF_SCORES: Final = ("24h", "7d", "1h")  # the first that is kept


class Ranking(NamedTuple):
    """The best of a signal type by a measure, as JSON."""

    signal: str
    by: str
    window: str | None  # that the bars are of
    bar_seconds: int | None
    rows: list[dict[str, Any]]


def measures_shown(signal: SignalType) -> tuple[str, str]:
    """Return what a signal type is ranked by where nobody says otherwise: by score, and by velocity or, where
    that is not kept, by the count of a window or of all time.

    >>> measures_shown(SignalType("view", 0, windows=("1h", "24h"), velocity=True))
    ('score', 'velocity.1h')
    """
    others = [name for name in measures_of(signal) if not name.startswith(SCORE)]
    moving = [name for name in others if name.startswith(VELOCITY)]
    return SCORE, (moving or others)[0]


def ranking_of(db: Watched, signal: SignalType, by: str) -> Ranking:
    """Return the best entities now. Raises UnknownMeasure, StoreClosed. O(entities)."""
    measure = parse_measure(signal, by)
    now = db.now()
    top = db.top(signal.name, ROWS, by=by)
    ids: list[int] = top.ids.tolist()
    window = measure.window if measure.window in BARS else _window_of_scores(signal)
    bars = [] if window is None else events_over_time(db, signal.name, top.ids, window, now).tolist()
    rows = zip(ids, top.keys, _titles(db, signal.kind, ids), top.values.tolist(), strict=True)
    return Ranking(
        signal.name,
        by,
        window,
        None if window is None else WINDOW_SECONDS[window] // BARS[window],
        [
            {
                "id": str(entity),
                "key": key,
                "title": title,
                "value": _number(value, whole=measure.what == COUNT),
                "bars": bars[place] if bars else [],
                "trend": trend_of(bars[place]) if bars else None,
            }
            for place, (entity, key, title, value) in enumerate(rows)
        ],
    )


def events_over_time(
    db: Watched, signal: str, ids: NDArray[np.uint64], window: str, now: int
) -> NDArray[np.int64]:
    """Return the events of each entity in equal parts of a window, int64[n, BARS[window]], the oldest first.

    A window asked for at a later time has lost its oldest part, and nothing else: so each part is the
    difference of two counts. The newest part is still running.
    """
    step = WINDOW_SECONDS[window] // BARS[window] * NS_PER_SECOND
    left = [db.counts(signal, ids, window, at=now + k * step) for k in range(BARS[window] + 1)]
    counts = np.array(left, np.int64).reshape(BARS[window] + 1, len(ids))
    parts: NDArray[np.int64] = np.maximum(counts[:-1] - counts[1:], 0)  # below 0: an event came between
    return parts.T


def trend_of(bars: Sequence[int]) -> float | None:
    """Return by which share the newer half has more events than the older, without the part that is running;
    None where the older half has none.

    >>> trend_of([9, 1, 1, 2, 1, 50])
    0.5
    """
    half = (len(bars) - 1) // 2
    newer, older = sum(bars[-half - 1 : -1]), sum(bars[-2 * half - 1 : -half - 1])
    return round(newer / older - 1, 4) if older else None


def _window_of_scores(signal: SignalType) -> str | None:
    return next((window for window in _CHART_OF_SCORES if window in signal.windows), None)


def _titles(db: Watched, kind: str, ids: Sequence[int]) -> list[str | None]:
    store = {"item": db.items, "user": db.users, "creator": db.creators}[kind]
    found = (store.get(entity) for entity in ids)
    return [str(data["title"]) if data and "title" in data else None for data in found]


def _number(value: float, *, whole: bool) -> float | int | None:
    """Return a value as JSON has it; None for what is beyond every float64."""
    if not math.isfinite(value):
        return None
    return int(value) if whole else value
