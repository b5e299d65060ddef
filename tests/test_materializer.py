"""A user's own state from the log: fed in order, saved, restored, and alive after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tidal
from tidal.testing import ManualClock

SCHEMA = tidal.SchemaBuilder().signal("view").build()


class CoEngagement:
    """How often two entities were engaged with in one session, in whatever order."""

    def __init__(self) -> None:
        self.together: Counter[tuple[int, int]] = Counter()
        self.sessions: dict[int, list[int]] = {}

    def on_events(self, batch: tidal.EventBatch) -> None:
        assert batch.session_id is not None
        for session, entity in zip(batch.session_id.values.tolist(), batch.entity_id.tolist(), strict=True):
            seen = self.sessions.setdefault(session, [])
            self.together.update(
                (min(entity, other), max(entity, other)) for other in seen if other != entity
            )
            seen.append(entity)

    def checkpoint(self) -> bytes:
        pairs = [[a, b, n] for (a, b), n in sorted(self.together.items())]
        return json.dumps({"together": pairs, "sessions": sorted(self.sessions.items())}).encode()

    def restore(self, state: bytes) -> None:
        saved = json.loads(state)
        self.together = Counter({(a, b): n for a, b, n in saved["together"]})
        self.sessions = {session: entities for session, entities in saved["sessions"]}


def test_it_is_a_materializer() -> None:
    assert isinstance(CoEngagement(), tidal.Materializer)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_it_comes_back_with_the_store(tmp_path: Path, checkpoint: bool) -> None:
    pairs = CoEngagement()
    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock=ManualClock(), materializers={"pairs": pairs})
    db.ingest(signal="view", entity_id=[1, 2, 3, 1], session_id=[7, 7, 7, 8])
    if checkpoint:
        db.checkpoint()
    db.ingest(signal="view", entity_id=[2], session_id=[8])
    assert pairs.together == {(1, 2): 2, (1, 3): 1, (2, 3): 1}
    db._release()  # no checkpoint at close
    again = CoEngagement()
    with tidal.open(tmp_path / "s", clock=ManualClock(), materializers={"pairs": again}) as db:
        assert again.checkpoint() == pairs.checkpoint()
        assert db.recovery is not None and db.recovery.checkpoint_seq == (4 if checkpoint else 0)


def test_one_that_is_new_is_fed_the_whole_log(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=ManualClock()) as db:
        db.ingest(signal="view", entity_id=[1, 2, 3], session_id=[7, 7, 7])
        db.checkpoint()
        db.ingest(signal="view", entity_id=[4], session_id=[7])
    late = CoEngagement()
    with tidal.open(tmp_path / "s", clock=ManualClock(), materializers={"late": late}):
        assert sum(late.together.values()) == 6


def test_one_that_fails_stops_the_store_until_it_is_opened_again(tmp_path: Path) -> None:
    class Failing(CoEngagement):
        def on_events(self, batch: tidal.EventBatch) -> None:
            raise RuntimeError("no")

    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock=ManualClock(), materializers={"x": Failing()})
    with pytest.raises(RuntimeError, match="no"):
        db.ingest(signal="view", entity_id=[1], session_id=[1])
    with pytest.raises(tidal.StorePoisoned, match="open it again"):
        db.ingest(signal="view", entity_id=[1], session_id=[1])
    db.close()
    with tidal.open(tmp_path / "s", clock=ManualClock()) as db:
        assert db.count("view", 1, "all") == 1


WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
import tidal
from test_materializer import SCHEMA, CoEngagement
db = tidal.open(sys.argv[1], schema=SCHEMA, materializers={"pairs": CoEngagement()}, checkpoint_bytes=4000)
number = db.last_seq
while True:
    db.ingest(signal="view", entity_id=[number % 17, number % 5, number % 3], session_id=[number % 11] * 3)
    number += 3
    print(db.durable_seq, flush=True)
"""


def test_it_survives_kills(tmp_path: Path) -> None:
    acknowledged = 0
    for _ in range(3):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "s"), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        for _ in range(40):
            acknowledged = int(worker.stdout.readline())
        os.kill(worker.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(n) for n in worker.stdout.read().split("\n")[:-1] if n)])
        worker.stdout.close()
        worker.wait()
    pairs = CoEngagement()
    with tidal.open(tmp_path / "s", materializers={"pairs": pairs}) as db:
        assert db.last_seq >= acknowledged
        want = CoEngagement()
        for number in range(0, db.last_seq, 3):
            for entity in (number % 17, number % 5, number % 3):
                seen = want.sessions.setdefault(number % 11, [])
                want.together.update((min(entity, o), max(entity, o)) for o in seen if o != entity)
                seen.append(entity)
        assert pairs.together == want.together
