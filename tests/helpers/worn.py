"""A store that has lived: segments, an archive, marks, checkpoints, names, metadata; made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tidal

START: Final = 1_700_000_000 * 10**9  # ns
SCHEMA: Final = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("like", half_life="30d", signed=True)
    .signal("follow", kind="creator")
    .build()
)
ROUNDS: Final = 6  # openings, each with a segment and a checkpoint of its own
EVENTS: Final = 60  # in each of them


def make_store(path: Path, *, rounds: int = ROUNDS, archive: bool = True) -> Path:
    """Make a store with ``rounds`` segments of EVENTS events in 6 batches each; the oldest are archived."""
    for number in range(rounds):
        with tidal.open(path, schema=SCHEMA, clock="event", archive=False, sync="os") as db:
            fill(db, number)
            if archive and number == rounds - 1:
                db.archive()
                db.marks.set("follower", 1)
    return path


def fill(db: tidal.TidalDb, number: int) -> None:
    """Record the events of one round."""
    db.items.put(f"item{number}", {"title": f"The title of item {number}"})
    for batch in range(6):
        first = number * EVENTS + batch * 10
        times = [START + (first + row) * 10**9 for row in range(10)]
        kind = ("view", "like", "follow")[batch % 3]
        keys = [f"item{(first + row) % 25}" for row in range(10)]
        db.ingest(signal=kind, entity_id=keys, timestamp=times, user_id=[f"u{n % 7}" for n in range(10)])
        db.flush()


def files_of(store: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, size and time of change of every file, by its path in the store."""
    found = sorted(path for path in store.rglob("*") if path.is_file())
    return {
        str(path.relative_to(store)): (path.read_bytes(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in found
    }
