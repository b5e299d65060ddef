"""How the products' scores went from day to day: a second database, fed the same events in time.

The store itself answers for now: a read at an earlier time still counts the events after it, by the semantics
of scores. To know what it would have said on an earlier day, one must ask before the later events come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidal.db import TidalDb
from tidal.demo.retail import OrderLines, retail_schema
from tidal.opening import open as open_db

DAY_NS: Final = 86_400_000_000_000
NET: Final = {"purchase.score": 1.0, "cancel.score": -1.0}

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class History:
    """Net scores of products: ``days[i, p]`` at the end of day i; ``before[p]``, ``now[p]`` a day apart."""

    first_day: date
    products: Sequence[str]
    days: NDArray[np.float64]
    before: NDArray[np.float64]
    now: NDArray[np.float64]

    def leaders(self) -> list[int]:
        """Return which product had the highest score at the end of each day."""
        leaders: list[int] = self.days.argmax(axis=1).tolist()
        return leaders

    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return each product's place by score, from 1: a day before the end, and at the end."""
        return _places(self.before), _places(self.now)


def fill(db: TidalDb, lines: OrderLines, start: int, stop: int) -> None:
    """Ingest rows [start, stop)."""
    if stop > start:
        db.ingest(**lines.events(start, stop))


def net_scores(db: TidalDb, ids: NDArray[np.uint64], at: int) -> NDArray[np.float64]:
    """Return pieces bought minus pieces cancelled, decayed to ``at``."""
    return db.scores("purchase", ids, at=at) - db.scores("cancel", ids, at=at)


def record_history(lines: OrderLines) -> History:
    """Replay the rows and note all scores at the end of each day, at the last event and a day before it."""
    products, ids = lines.product_ids()
    end = int(lines.timestamp[-1])
    first = int(lines.timestamp[0]) // DAY_NS
    midnights = [day * DAY_NS for day in range(first + 1, end // DAY_NS + 1)]
    times = sorted({*midnights, end - DAY_NS, end})
    samples = dict(zip(times, _samples(lines, ids, times), strict=True))
    days = [samples[midnight] for midnight in midnights] + [samples[end]]
    return History(
        _EPOCH + timedelta(days=first), products, np.array(days), samples[end - DAY_NS], samples[end]
    )


def _samples(
    lines: OrderLines, ids: NDArray[np.uint64], times: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
    with open_db(schema=retail_schema(), clock="event") as db:
        row = 0
        for at in times:
            stop = int(np.searchsorted(lines.timestamp, at, side="right"))
            fill(db, lines, row, stop)
            row = stop
            yield net_scores(db, ids, at)


def _places(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    places = np.empty(len(scores), np.intp)
    places[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return places
