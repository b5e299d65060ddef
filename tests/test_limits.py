"""Limits: what is beyond them is refused whole and by name; what is known goes on, and so do reads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidal
from tidal.durable import File, OsFileSystem
from tidal.limits import Guard
from tidal.log import MemoryLog

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()
START = 1_700_000_000 * 10**9


def open_db(path: Path | None = None, **options: Any) -> tidal.TidalDb:
    return tidal.open(path, schema=SCHEMA, clock=lambda: START, **{"sync": "os"} | options)


def entities(db: tidal.TidalDb) -> int:
    return sum(part["entities"] for part in db.stats()["signals"].values())


def bytes_in_use(db: tidal.TidalDb) -> int:
    parts = db.stats()["signals"].values()
    return sum(part[name] for part in parts for name in ("record_bytes", "index_bytes", "column_bytes"))


# ------------------------------------------------------------------------------ entities


@pytest.mark.parametrize("on_disk", [False, True])
def test_new_entities_beyond_the_limit_are_refused_and_known_go_on(tmp_path: Path, on_disk: bool) -> None:
    path = tmp_path / "s" if on_disk else None
    with open_db(path, limits=tidal.Limits(entities=3)) as db:
        db.ingest(signal=["view", "view", "like"], entity_id=["a", "b", "a"])
        before = db.last_seq, db.stats()["signals"]
        for refused in (
            lambda: db.signal("view", "c"),
            lambda: db.signal("like", "b"),  # known of another type
            lambda: db.ingest(signal="view", entity_id=["a", "b", "c"]),  # nothing of it
        ):
            with pytest.raises(tidal.LimitExceeded, match=r"1 new .* entities=3;.*tidal\.Limits\(entities="):
                refused()
        assert (db.last_seq, db.stats()["signals"]) == before
        assert db.key_of(tidal.entities.entity_key_id("c")) is None
        assert db.ingest(signal="view", entity_id=["a", "b"] * 10).count == 20
        assert db.signal("like", "a") == 24
    if on_disk:
        with open_db(path, limits=tidal.Limits(entities=1)) as db:  # what is in the log is taken
            assert entities(db) == 3
            assert db.signal("view", "a") == 25
            with pytest.raises(tidal.LimitExceeded):
                db.signal("view", "c")
        with open_db(path) as db:
            assert db.signal("view", "c") == 26


@given(st.integers(1, 12), st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=8)))
def test_the_limit_is_exact(limit: int, calls: list[list[tuple[bool, int]]]) -> None:
    known = set[tuple[str, int]]()
    with open_db(limits=tidal.Limits(entities=limit)) as db:
        for call in calls:
            rows = [("like" if liked else "view", entity) for liked, entity in call]
            brought = set(rows) - known
            if not rows:
                continue
            columns = {"signal": [name for name, _ in rows], "entity_id": [entity for _, entity in rows]}
            if brought and len(known) + len(brought) > limit:
                with pytest.raises(tidal.LimitExceeded):
                    db.ingest(**columns)
            else:
                db.ingest(**columns)
                known |= brought
            assert entities(db) == len(known)


@pytest.mark.parametrize("dedup", [None, "event_id"])
def test_threads_at_the_limit_do_not_pass_it_together(dedup: str | None) -> None:
    limit, refused = 1000, []

    def send(first: int, db: tidal.TidalDb) -> None:
        for start in range(first, 2400, 8):
            try:
                db.ingest(signal="view", entity_id=range(start, start + 3))
                db.signal("view", start + 3)
            except tidal.LimitExceeded:
                refused.append(start)

    with open_db(limits=tidal.Limits(entities=limit), dedup=dedup) as db:
        threads = [threading.Thread(target=send, args=(2 * n, db)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert entities(db) <= limit
        assert entities(db) > limit - 3  # it was used up, as far as whole calls of three go
        assert refused
        assert db.ingest(signal="view", entity_id=db.read("view")["entity_id"]).count == entities(db)


def batch_of(*ids: int) -> tidal.EventBatch:
    n = len(ids)
    weights, times = np.ones(n, np.float32), np.zeros(n, np.int64)
    return tidal.EventBatch(np.array(ids, np.uint64), np.zeros(n, np.uint8), weights, times)


@pytest.mark.parametrize("warm", [False, True])  # whether the first call takes from the credit or counts anew
def test_who_counts_waits_for_who_is_under_way(warm: bool) -> None:
    ledger = tidal.SignalLedger(SCHEMA)
    guard = Guard(tidal.Limits(entities=3), ledger, MemoryLog(), time.monotonic)
    entered, refused = threading.Event(), []

    def second() -> None:
        try:
            with guard.growing(batch_of(3, 4)):
                entered.set()
        except tidal.LimitExceeded as error:
            refused.append(error)

    if warm:
        with guard.growing(batch_of()):
            pass
        guard._credit = 3
    thread = threading.Thread(target=second)
    with guard.growing(batch_of(1, 2)):
        thread.start()
        assert not entered.wait(0.2)  # long enough to see the error, were it there
        ledger.apply(batch_of(1, 2))
    thread.join()
    assert len(refused) == 1


# ------------------------------------------------------------------------------ memory


def test_memory_stops_growing_and_known_entities_go_on() -> None:
    with open_db() as db:
        empty = bytes_in_use(db)
    limit = empty + (8 << 20)
    with open_db(limits=tidal.Limits(memory_bytes=limit)) as db:
        count = 0
        with pytest.raises(tidal.LimitExceeded, match=r"memory_bytes=.*tidal\.Limits\(memory_bytes="):
            for count in range(0, 10**6, 1000):
                db.ingest(signal="view", entity_id=range(count, count + 1000))
        assert entities(db) == count > 30_000  # 8 MiB hold more than that, and not all of a call was refused
        assert bytes_in_use(db) < limit + (4 * 2 << 20)  # a step of each shard at most
        before = bytes_in_use(db)
        for _ in range(3):
            assert db.ingest(signal="view", entity_id=range(count)).count == count
        assert bytes_in_use(db) <= before + 2 * 16 * count  # the windows of known entities


def test_each_new_entity_is_reserved_its_bytes() -> None:
    ledger = tidal.SignalLedger(SCHEMA)
    names = ("record_bytes", "index_bytes", "column_bytes")
    in_use = sum(part[name] for part in ledger.stats().values() for name in names)
    guard = Guard(tidal.Limits(memory_bytes=in_use + 10 * 128), ledger, MemoryLog(), time.monotonic)
    with guard.growing(batch_of(*range(10))):
        pass
    with pytest.raises(tidal.LimitExceeded), guard.growing(batch_of(*range(11))):
        raise AssertionError("the block must not run")
    with guard.growing(batch_of(*[1] * 11)):  # more events than places, but one new entity
        pass


# ------------------------------------------------------------------------------ the disk


class ScriptedLog(MemoryLog):
    """A log whose unsynced bytes after each sync, and the seconds that it takes, are given."""

    def __init__(self, *unsynced: int, seconds: float = 0.0) -> None:
        super().__init__()
        self._unsynced, self._seconds, self.now = list(unsynced), seconds, 0.0
        self.waits: list[float] = []

    @property
    def unsynced_bytes(self) -> int:  # type: ignore[override]
        return self._unsynced[0]

    def sync_within(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += min(seconds, self._seconds)
        del self._unsynced[0]
        return self._seconds <= seconds


def test_one_sync_may_not_be_enough() -> None:
    log = ScriptedLog(300, 200, 101, 100, seconds=4.0)
    limits = tidal.Limits(unsynced_bytes=100, wait="12s")
    Guard(limits, tidal.SignalLedger(SCHEMA), log, lambda: log.now).await_sync()
    assert log.waits == [12.0, 8.0, 4.0]  # others write meanwhile; the wait is for all of it


def test_the_wait_is_for_all_syncs_together() -> None:
    log = ScriptedLog(300, 300, 300, 300, seconds=4.0)
    limits = tidal.Limits(unsynced_bytes=100, wait="7s")
    guard = Guard(limits, tidal.SignalLedger(SCHEMA), log, lambda: log.now)
    with pytest.raises(tidal.LimitExceeded, match="300 bytes of the log wait for the disk"):
        guard.await_sync()
    assert log.waits == [7.0, 3.0]


class HeldSync(OsFileSystem):
    """The real file system, whose syncs of the log wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.waiting = threading.Event()
        self.open.set()

    def create(self, path: Path) -> File:
        file = super().create(path)
        return HeldFile(self, file) if path.suffix == ".seg" else file  # type: ignore[return-value]


class HeldFile:
    def __init__(self, fs: HeldSync, file: File) -> None:
        self._fs, self._file = fs, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def sync(self) -> None:
        if not self._fs.open.is_set():
            self._fs.waiting.set()
            assert self._fs.open.wait(60)
        self._file.sync()


@pytest.mark.parametrize("sync", ["os", "interval:1h"])
@pytest.mark.parametrize("dedup", [None, "event_id"])
def test_a_slow_disk_holds_writers_back_and_not_readers(tmp_path: Path, sync: str, dedup: str | None) -> None:
    fs, limits = HeldSync(), tidal.Limits(unsynced_bytes=10_000, wait="20ms")
    with open_db(tmp_path / "s", sync=sync, limits=limits, file_system=fs, dedup=dedup) as db:
        db.signal("view", 1)
        fs.open.clear()
        calls, before = 0, 0
        with pytest.raises(tidal.LimitExceeded, match=r"unsynced_bytes=10,000.*20ms"):
            for calls in range(1000):
                before = db.last_seq
                db.ingest(signal="view", entity_id=np.arange(500), event_id=np.arange(500) + 500 * calls)
        assert fs.waiting.is_set()
        assert 10_000 < db.stats()["unsynced_bytes"] < 25_000  # one frame more at most
        assert db.last_seq == before == 1 + 500 * calls  # nothing of the refused call
        assert db.count("view", 1, "all") == 1 + calls
        assert len(db.top("view", 3)) == 3
        fs.open.set()
        assert db.ingest(signal="view", entity_id=[1], event_id=10**6).count == 1
        assert db.stats()["unsynced_bytes"] < 10_000


def test_a_waiting_writer_goes_on_when_the_disk_does(tmp_path: Path) -> None:
    fs = HeldSync()
    with open_db(tmp_path / "s", limits=tidal.Limits(unsynced_bytes=1), file_system=fs) as db:
        db.signal("view", 1)
        fs.open.clear()
        writer = threading.Thread(target=db.signal, args=("view", 2))
        writer.start()
        assert fs.waiting.wait(60)
        assert db.last_seq == 1
        fs.open.set()
        writer.join()
        assert (db.last_seq, db.durable_seq) == (2, 1)


def test_a_call_that_is_cut_short_says_what_is_recorded(tmp_path: Path) -> None:
    fs, limits = HeldSync(), tidal.Limits(unsynced_bytes=5000, wait="1ms")
    with open_db(tmp_path / "s", limits=limits, file_system=fs) as db:
        db.signal("view", 1)  # makes the segment
        fs.open.clear()
        with pytest.raises(tidal.LimitExceeded) as caught:
            db.ingest(signal="view", entity_id=np.random.default_rng(1).integers(0, 2**62, 200_000))
        assert caught.value.__notes__ == [
            "the first 65536 events of this call that are no duplicates are recorded, as the "
            "sequences 2 to 65537"
        ]
        assert db.last_seq == 65537
        fs.open.set()


def test_a_disk_that_failed_is_no_limit(tmp_path: Path) -> None:
    class Failing(HeldSync):
        def create(self, path: Path) -> File:
            file = super().create(path)
            if path.suffix == ".seg":
                file.sync = self.fail  # type: ignore[method-assign]
            return file

        def fail(self) -> None:
            raise tidal.StorageError("the disk is gone")

    db = open_db(tmp_path / "s")
    db.close()
    db = open_db(tmp_path / "s", limits=tidal.Limits(unsynced_bytes=1), file_system=Failing())
    with pytest.raises(tidal.StorageError, match="the disk is gone"):
        for _ in range(3):
            db.signal("view", 1)
    with pytest.raises(tidal.StorageError):
        db.close()


# ------------------------------------------------------------------------------ the options


def test_limits_are_checked() -> None:
    for name in ("entities", "memory_bytes", "unsynced_bytes"):
        for wrong in (0, -1, 1.5, "many", True):
            with pytest.raises(tidal.InvalidOption, match=name):
                tidal.Limits(**{name: wrong})
    with pytest.raises(tidal.InvalidDuration):
        tidal.Limits(wait="soon")
    with pytest.raises(tidal.InvalidOption, match=r"tidal\.Limits"):
        open_db(limits=10)


def test_without_limits_nothing_is_refused(tmp_path: Path) -> None:
    fs = HeldSync()
    with open_db(tmp_path / "s", limits=tidal.Limits(unsynced_bytes=None), file_system=fs) as db:
        db.signal("view", 1)
        fs.open.clear()
        for _ in range(20):
            db.ingest(signal="view", entity_id=np.arange(5000))
        assert db.last_seq == 100_001
        fs.open.set()
