"""kill -9 at random points: nothing acknowledged is lost, nothing is invented, and the state is the log's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import kill_while_it_works

import tidal
from tidal.entities import entity_key_id
from tidal.testing import ModelLedger, assert_agrees

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
    .signal("like", half_life=("1d", "30d"), windows=("24h",), signed=True)
    .build()
)
START = 1_700_000_000 * 10**9

# Event number n is the same in every run, so what was recovered can be compared with what was sent.
WORKER = """
import sys
sys.path.insert(0, sys.argv[3])
import tidal
from test_kill import SCHEMA, columns
db = tidal.open(sys.argv[1], schema=SCHEMA, sync=sys.argv[2], clock="event", checkpoint_bytes=3000)
size = 1
while True:
    done = db.ingest(**columns(db.last_seq, size))
    print(done.last_seq, flush=True)
    size = size % 50 + 7
"""


def columns(after: int, count: int) -> dict[str, Any]:
    """The events numbered after + 1 to after + count."""
    n = np.arange(after + 1, after + count + 1)
    return {
        "signal": ["like" if i % 3 == 0 else "view" for i in n.tolist()],
        "entity_id": [f"item-{i * i % 37}" for i in n.tolist()],
        "weight": (n % 11).astype(np.float32),
        "timestamp": START + n * 7_000_000_000 - (n % 5 == 0) * 3_600_000_000_000,
        "user_id": (n % 13).astype(np.uint64),
    }


def run_and_kill(store: Path, sync: str, seconds: float) -> int:
    """Run the worker, kill it, and return the last sequence that it was told is acknowledged."""
    return kill_while_it_works(WORKER, store, sync, Path(__file__).parent, seconds=seconds)


@pytest.mark.parametrize("sync", ["group", "os"])
def test_what_was_acknowledged_is_there_and_nothing_else(tmp_path: Path, sync: str) -> None:
    rng = random.Random(sync)
    store = tmp_path / "s"
    acknowledged = 0
    for _ in range(4):
        acknowledged = run_and_kill(store, sync, rng.uniform(0.0, 0.25))
        with tidal.open(store, clock="event", read_only=True) as db:
            assert db.last_seq >= acknowledged
    with tidal.open(store, clock="event") as db:
        assert db.last_seq >= acknowledged
        sent = columns(0, db.last_seq)
        twin = ModelLedger(SCHEMA)
        rows = zip(sent["signal"], sent["entity_id"], sent["weight"], sent["timestamp"], strict=True)
        for name, key, weight, t in rows:
            entity_id = entity_key_id(key)
            assert db.key_of(entity_id) == key
            twin.apply(name, entity_id, float(weight), int(t))
        assert_agrees(db._ledger, twin, db.now())
        with tidal.open(schema=SCHEMA, clock="event") as never_killed:
            never_killed.ingest(**sent)
            assert db._ledger.state_digest() == never_killed._ledger.state_digest()
