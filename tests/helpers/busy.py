"""A store with a metrics port, in which everything that is counted has happened once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import tidal

START: Final = 1_700_000_000 * 10**9
SCHEMA: Final = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("like", half_life="30d")
    .signal("follow", kind="user", half_life="7d")
    .build()
)


def busy_store(path: Path) -> tidal.TidalDb:
    """Return a store that was opened a second time, with 10 events before: 7 views, 2 likes, 1 follow."""
    options = {"clock": "event", "dedup": "event_id", "metrics": "127.0.0.1:0"}
    with tidal.open(path, schema=SCHEMA, clock="event") as db:
        db.ingest(signal=["view"] * 7 + ["like"] * 2 + ["follow"], entity_id=[1, 2, 3, 1, 2, 3, 4, 1, 2, 9],
                  timestamp=[START + n * 10**9 for n in range(10)])  # fmt: skip
    db = tidal.open(path, **options)  # type: ignore[arg-type]
    later = START + 100 * 10**9
    db.ingest(signal="view", entity_id=[1, 2, 3], timestamp=later, event_id=[1, 2, 3])
    db.ingest(signal="view", entity_id=[1, 2], timestamp=later, event_id=[1, 4])  # the first is a duplicate
    db.signal("view", 5, timestamp=later - 10**9)  # late
    db.ingest(signal="view", entity_id=[1, 2], weight=[1.0, -1.0], timestamp=later, on_error="skip")
    with pytest.raises(tidal.InvalidEvent):
        db.signal("view", 1, weight=-1.0)
    with db.session(user_id=7, agent="agent", timestamp=later):
        pass
    db.session(user_id=7, agent="agent", timestamp=later)
    db.scores("view", [1, 2])
    db.top("view")
    db.checkpoint()
    db.archive()
    db.marks.set("replica", 12)
    job = db.jobs.create("signals", format="jsonl")
    db.jobs.wait(job.id)
    return db
