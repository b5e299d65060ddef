"""A store of as many events as are asked for, from real ones: order lines and votes, laid side by side.

Each tile is the same real events, a week later than the one before, of other entities for the first 32
tiles. So times are as uneven as they are in shops, votes are far out of order, and a replay has late events.
The same number of events is always the same events.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Final

import numpy as np

import tidal
from tidal.demo.retail import read_order_lines
from tidal.entities import entity_key_ids
from tidal.schema import EventBatch

SCHEMA: Final = (
    tidal.SchemaBuilder()
    .signal("purchase", half_life=("1d", "7d"), windows=("1h", "24h", "7d"), velocity=True)
    .signal("cancel", half_life="7d", windows=("24h", "7d"))
    .signal("adjust")
    .signal("vote", half_life="30d", windows=("7d",), signed=True)
    .build()
)
_GROUPS: Final = 32  # of entities
_WEEK: Final = 7 * 86400 * 10**9
_VOTES: Final = Path(__file__).parents[1] / "data" / "polis-votes.csv.gz"


def real_events(lines_max: int = 10**6) -> EventBatch:
    """Return the first order lines (all 541,909 at most), then the votes as their file has them."""
    lines = next(iter(read_order_lines(batch_rows=lines_max)))
    orders = (
        entity_key_ids(lines.product.tolist()),
        np.array([SCHEMA.signal(name).type_id for name in lines.signal.tolist()], np.uint8),
        lines.quantity.astype(np.float32),
        lines.timestamp,
    )
    with gzip.open(_VOTES, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:lines_max]
    time = np.array([int(row["timestamp"]) for row in rows], np.int64) * 1_000_000
    votes = (
        entity_key_ids([f"{row['conversation']}/{row['comment']}" for row in rows]),
        np.full(len(rows), SCHEMA.signal("vote").type_id, np.uint8),
        np.array([row["vote"] for row in rows], np.float32),
        time - time.min() + lines.timestamp[0],
    )
    return EventBatch(*(np.concatenate(pair) for pair in zip(orders, votes, strict=True)))


def make_tiled_store(path: Path, events: int, *, lines_max: int = 10**6) -> Path:
    """Make a store of so many events, nearly all of them in its archive."""
    real = real_events(lines_max)
    made = tile = 0
    with tidal.open(
        path, schema=SCHEMA, clock="event", sync="os", max_future_skew=None, checkpoint_bytes=None
    ) as db:
        while made < events:
            apart = np.uint64(tile % _GROUPS * 0x9E3779B97F4A7C15 % 2**64)
            times = real.timestamp + tile * _WEEK
            moved = EventBatch(real.entity_id ^ apart, real.type_id, real.weight, times)
            part = moved.rows(0, min(len(moved), events - made))
            db._take_over(part)
            made, tile = made + len(part), tile + 1
            if tile % 8 == 0 or made == events:
                db.checkpoint()
                db.checkpoint()
                db.archive()
    return path
