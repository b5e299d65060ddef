"""kill -9 while a producer sends: after each crash it sends its last events again, and each is there once."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from killing import kill_while_it_works

import tidal

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
START = 1_700_000_000 * 10**9

# A producer that knows nothing of the store: it was told how much was acknowledged, and goes on a bit before.
WORKER = """
import sys
sys.path.insert(0, sys.argv[4])
from test_retry import open_db, send
db = open_db(sys.argv[1], sys.argv[2])
sent = int(sys.argv[3])
while True:
    sent = send(db, sent, sent % 40 + 1)
    print(sent, flush=True)
"""


def open_db(store: str | Path, by: str) -> tidal.TidalDb:
    dedup = tidal.Dedup(by, events=500, time=None)
    return tidal.open(store, schema=SCHEMA, sync="os", clock="event", dedup=dedup, checkpoint_bytes=3000)


def send(db: tidal.TidalDb, after: int, count: int) -> int:
    """Send the events numbered after + 1 to after + count, the same in every run; return the last number."""
    n = np.arange(after + 1, after + count + 1)
    db.ingest(
        signal="view", entity_id=(n % 11).astype(np.uint64), event_id=n.astype(np.uint64),
        timestamp=START + n * 10**9,
    )  # fmt: skip
    return after + count


def run_and_kill(store: Path, by: str, after: int, seconds: float) -> int:
    """Run the worker, kill it, and return the last event that it was told is acknowledged."""
    return kill_while_it_works(WORKER, store, by, after, Path(__file__).parent, seconds=seconds)


@pytest.mark.parametrize("by", ["event_id", "content"])
def test_a_retry_across_a_crash_is_one_event(tmp_path: Path, by: str) -> None:
    rng, store, acknowledged = random.Random(by), tmp_path / "s", 0
    for _ in range(4):
        again = max(0, acknowledged - rng.randrange(200))  # it never saw the last acknowledgements
        acknowledged = run_and_kill(store, by, again, rng.uniform(0.0, 0.2))
    with open_db(store, by) as db:
        last = max(acknowledged, db.last_seq)
        for after in range(max(0, last - 400), last, 100):  # and once more, now that nothing is missing
            send(db, after, min(100, last - after))
        assert db.last_seq == last
        expected = [sum(n % 11 == entity for n in range(1, last + 1)) for entity in range(11)]
        assert db.counts("view", np.arange(11, dtype=np.uint64), "all").tolist() == expected
        assert db.stats()["dedup"]["duplicates"] == min(400, last)
