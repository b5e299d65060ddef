"""What the demo asks of the store, as values: the best, the fastest, and what the last day changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidal.db import TidalDb
from tidal.demo.history import NET, History, net_scores
from tidal.demo.retail import OrderLines

CANDIDATES: Final = 500  # products with the highest purchase score that are ranked by more than that
RUSH_LINES: Final = 10  # order lines in 24 hours below which a rise is noise
FIELD: Final = 100  # climbs to places below are left out


@dataclass(frozen=True, slots=True)
class Best:
    """A product by net score: purchase score minus cancel score."""

    product: str
    title: str
    score: float
    lines_24h: int
    lines_7d: int


@dataclass(frozen=True, slots=True)
class Spike:
    """A product that leads by purchases alone because of orders that were cancelled."""

    product: str
    title: str
    purchase_score: float
    cancel_score: float


@dataclass(frozen=True, slots=True)
class Mover:
    """A product's order lines a day: over the last 24 hours, and over the week."""

    product: str
    title: str
    day_rate: float
    week_rate: float

    @property
    def times(self) -> float:
        """How many times the week's pace."""
        return self.day_rate / self.week_rate


@dataclass(frozen=True, slots=True)
class Climb:
    """A product's place by net score now and a day before."""

    product: str
    title: str
    now: int
    before: int
    score: float


def best_products(db: TidalDb, k: int) -> tuple[list[Best], Spike | None]:
    """Return the k best by net score, and what leads by purchases alone, if that is another product."""
    by_purchases = db.top("purchase", CANDIDATES)
    net = db.rank(by_purchases.ids, NET, k=k)
    counts_24h = db.counts("purchase", net.ids, "24h").tolist()
    counts_7d = db.counts("purchase", net.ids, "7d").tolist()
    titles = titles_in(db, net.ids.tolist())
    rows = zip(net.keys, titles, net.values.tolist(), counts_24h, counts_7d, strict=True)
    best = [Best(str(key), title, score, day, week) for key, title, score, day, week in rows]
    first = int(by_purchases.ids[0])
    if first == int(net.ids[0]):
        return best, None
    cancelled = db.score("cancel", first)
    key, title = by_purchases.keys[0], titles_in(db, [first])[0]
    return best, Spike(str(key), title, float(by_purchases.values[0]), cancelled)


def fastest_movers(db: TidalDb, k: int) -> list[Mover]:
    """Return the k products whose last 24 hours are furthest above their week, of those with real sales."""
    day = db.top("purchase", CANDIDATES, by="velocity.24h")
    week_rates = db.velocities("purchase", day.ids, "7d") * 86_400
    rows = zip(
        day.keys, titles_in(db, day.ids.tolist()), day.values.tolist(), week_rates.tolist(), strict=True
    )
    movers = [Mover(str(key), title, rate * 86_400, week) for key, title, rate, week in rows]
    movers = [mover for mover in movers if round(mover.day_rate) >= RUSH_LINES]
    return sorted(movers, key=lambda mover: -mover.times)[:k]


def largest_climbs(history: History, titles: dict[str, str], k: int) -> list[Climb]:
    """Return the k largest gains in place that ended within the first FIELD."""
    before, now = history.places()
    gained = np.where(now <= FIELD, before - now, 0)
    chosen = [product for product in np.argsort(-gained, kind="stable")[:k].tolist() if gained[product] > 0]
    return [_climb(history, titles, product) for product in chosen]


def at_place(history: History, titles: dict[str, str], place: int) -> Climb:
    """Return the product that is at a place now."""
    _, now = history.places()
    return _climb(history, titles, int(np.flatnonzero(now == place)[0]))


def titles_in(db: TidalDb, ids: Sequence[int]) -> list[str]:
    """Return the titles in the items' metadata; the key where there is none."""
    found = ((entity, db.items.get(entity)) for entity in ids)
    return [str(item["title"]) if item else str(db.key_of(entity)) for entity, item in found]


def largest_difference(db: TidalDb, other: TidalDb, lines: OrderLines) -> float:
    """Return how far the net scores of two databases are apart; infinite if any count differs."""
    _, ids = lines.product_ids()
    at = db.now()
    for signal in db.schema:
        for window in (*signal.windows, "all"):
            same = db.counts(signal.name, ids, window, at=at) == other.counts(signal.name, ids, window, at=at)
            if not same.all():
                return float("inf")
    return float(np.abs(net_scores(db, ids, at) - net_scores(other, ids, at)).max())


def _climb(history: History, titles: dict[str, str], product: int) -> Climb:
    before, now = history.places()
    key = history.products[product]
    place, earlier = int(now[product]), int(before[product])
    return Climb(key, titles.get(key, key), place, earlier, float(history.now[product]))
