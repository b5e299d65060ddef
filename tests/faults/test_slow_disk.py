"""A disk that takes its time: nothing is acknowledged before its sync, and reads do not wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faultkit.events import columns, expected
from faultkit.hooked import Call, HookedFs
from faultkit.store import open_store

from tidal import TidalDb

_PATIENCE_SECONDS = 30


class SlowDisk:
    """Syncs of segments that wait until they are let through; each says when it has begun."""

    def __init__(self) -> None:
        self.fs = HookedFs(self._hook)
        self.slow = False
        self.begun: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._let = threading.Semaphore(0)

    def _hook(self, call: Call) -> Any:
        if self.slow and call.op == "sync" and call.path.suffix == ".seg":
            self.begun.put(call.path)
            assert self._let.acquire(timeout=_PATIENCE_SECONDS)
        return call.run()

    def let_one_through(self) -> None:
        self._let.release()

    def recover(self) -> None:
        self.slow = False
        self._let.release(1000)


@pytest.fixture
def disk() -> SlowDisk:
    return SlowDisk()


@pytest.fixture
def db(tmp_path: Path, disk: SlowDisk) -> Iterator[TidalDb]:
    with open_store(tmp_path / "store", file_system=disk.fs) as made:
        made.ingest(**columns(0, 3))
        disk.slow = True
        yield made
        disk.recover()


def test_nothing_is_acknowledged_before_its_sync_and_reads_go_on(db: TidalDb, disk: SlowDisk) -> None:
    acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()
    writer = threading.Thread(target=lambda: acknowledged.put(db.ingest(**columns(3, 5)).last_seq))
    writer.start()
    disk.begun.get(timeout=_PATIENCE_SECONDS)
    assert acknowledged.empty()
    assert (db.last_seq, db.durable_seq) == (8, 3)
    assert db.count("view", "item-1", "all") > 0
    assert len(db.top("view", 3)) == 3
    disk.let_one_through()
    assert acknowledged.get(timeout=_PATIENCE_SECONDS) == 8
    writer.join()
    assert db.durable_seq == 8


def test_who_waits_for_a_slow_sync_shares_the_next_one(db: TidalDb, disk: SlowDisk) -> None:
    """One sync is under way, many callers wait: one more sync serves them all, and none is told too early."""
    acknowledged: queue.SimpleQueue[int] = queue.SimpleQueue()

    def write(count: int) -> None:
        for _ in range(count):
            acknowledged.put(db.signal("view", "item-1"))

    first = threading.Thread(target=write, args=(1,))
    first.start()
    disk.begun.get(timeout=_PATIENCE_SECONDS)
    others = [threading.Thread(target=write, args=(1,)) for _ in range(8)]
    for thread in others:
        thread.start()
    waited = threading.Event()
    while db.last_seq < 12:  # their events are in the log, but none of them returned
        assert acknowledged.empty()
        waited.wait(0.001)
    disk.let_one_through()
    assert acknowledged.get(timeout=_PATIENCE_SECONDS) == 4
    disk.begun.get(timeout=_PATIENCE_SECONDS)
    assert acknowledged.empty()
    disk.let_one_through()
    assert sorted(acknowledged.get(timeout=_PATIENCE_SECONDS) for _ in others) == list(range(5, 13))
    for thread in (first, *others):
        thread.join()
    assert disk.begun.empty()  # two syncs for nine callers


def test_a_checkpoint_waits_for_the_slow_sync_while_reads_go_on(db: TidalDb, disk: SlowDisk) -> None:
    db._log.append(_one_batch(db))
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    saver = threading.Thread(target=lambda: done.put(db.checkpoint()))
    saver.start()
    disk.begun.get(timeout=_PATIENCE_SECONDS)
    assert done.empty()
    assert db.score("view", "item-1") > 0
    disk.let_one_through()
    assert done.get(timeout=_PATIENCE_SECONDS) == 4
    saver.join()


def _one_batch(db: TidalDb) -> Any:
    batch = expected(3, 1)
    db._ledger.apply(batch)
    return batch
