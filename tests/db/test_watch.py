"""Each reason for which a database is unwell, made to happen."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faultkit.hooked import Call, HookedFs
from replicakit import leader_at, open_as_follower

import tidal
from tidal.db import Settings
from tidal.opening import StoreOptions, Wiring, open_store
from tidal.schema import schema_to_json
from tidal.store import StorePaths

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d").build()


class Disk:
    """A file system that fails what ``fails`` says, with an errno."""

    def __init__(self) -> None:
        self.fails: Callable[[Call], int | None] = lambda call: None
        self.free = 1 << 40
        self.fs: Any = HookedFs(self._call)

    def _call(self, call: Call) -> Any:
        if call.op == "free_bytes":
            return self.free
        if code := self.fails(call):
            kind = tidal.NoSpace if code == errno.ENOSPC else tidal.StorageError
            raise kind(code, "injected", str(call.path))
        return call.run()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def db(tmp_path: Path, disk: Disk) -> Iterator[tidal.TidalDb]:
    db = tidal.open(tmp_path / "store", schema=SCHEMA, file_system=disk.fs)
    db.signal("view", 1)
    yield db
    disk.fails = lambda call: None
    with contextlib.suppress(tidal.StorePoisoned):
        db.close()


def codes(db: tidal.TidalDb) -> list[str]:
    health = db.health()
    assert health.ok == (not health.reasons)
    return [reason.code for reason in health.reasons]


def test_a_database_is_well(db: tidal.TidalDb) -> None:
    assert db.health() == tidal.Health(True)


def test_a_failed_sync_poisons(db: tidal.TidalDb, disk: Disk) -> None:
    disk.fails = lambda call: errno.EIO if call.op == "sync" else None
    with pytest.raises(tidal.StorePoisoned):
        db.signal("view", 2)
    disk.fails = lambda call: None
    assert codes(db) == ["poisoned"]
    assert "injected" in str(db.health().reasons[0])


def test_an_event_that_was_logged_and_not_applied_poisons(
    db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(batch: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(db._ledger, "apply", apply)
    with pytest.raises(MemoryError):
        db.signal("view", 2)
    assert codes(db) == ["poisoned"]


def test_a_full_disk_is_told_until_something_is_written_again(db: tidal.TidalDb, disk: Disk) -> None:
    disk.fails = lambda call: errno.ENOSPC if call.op == "append" else None
    with pytest.raises(tidal.NoSpace):
        db.ingest(signal="view", entity_id=[1, 2])
    assert codes(db) == ["disk_full"]
    disk.fails = lambda call: None
    db.ingest(signal="view", entity_id=[1, 2])
    assert codes(db) == []


def test_little_space_is_told_before_the_disk_is_full(db: tidal.TidalDb, disk: Disk) -> None:
    disk.free = 64 << 20
    assert codes(db) == []
    disk.free -= 1
    assert codes(db) == ["disk_full"]


def test_a_store_that_was_opened_on_a_full_disk_is_unwell_until_it_is_ready(
    tmp_path: Path, disk: Disk
) -> None:
    tidal.open(tmp_path / "store", schema=SCHEMA).close()
    disk.fails = lambda call: errno.ENOSPC if call.op == "create" and call.path.parent.name == "wal" else None
    with tidal.open(tmp_path / "store", file_system=disk.fs) as db:
        assert codes(db) == ["disk_full"]
        disk.fails = lambda call: None
        db.signal("view", 1)
        assert codes(db) == []


def test_a_checkpoint_that_failed_in_the_background(tmp_path: Path, disk: Disk) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, file_system=disk.fs, checkpoint_bytes=1) as db:
        disk.fails = lambda call: errno.EIO if call.path.suffix == ".tmp" else None
        db.signal("view", 1)
        wait_until(lambda: db.stats()["checkpoint_error"] is not None)
        assert codes(db) == ["checkpoint_failed"]
        disk.fails = lambda call: None
        db.checkpoint()
        assert codes(db) == []
        assert db._meters.failures["checkpoint"] >= 1


def test_archiving_that_failed_in_the_background(tmp_path: Path, disk: Disk) -> None:
    """The manifest of the archive cannot be read."""
    with tidal.open(tmp_path / "store", schema=SCHEMA, file_system=disk.fs, checkpoint_bytes=1) as db:
        disk.fails = lambda call: errno.EIO if call.op == "list_dir" and call.path.name == "archive" else None
        db.signal("view", 1)
        wait_until(lambda: db.stats()["archive_error"] is not None)
        disk.fails = lambda call: None
        assert "archive_failed" in codes(db)


def test_a_reader_that_could_not_look_anew_answers_from_another_time(tmp_path: Path, disk: Disk) -> None:
    with (
        tidal.open(tmp_path / "store", schema=SCHEMA) as writer,
        tidal.open(tmp_path / "store", read_only=True, file_system=disk.fs) as db,
    ):
        writer.signal("view", 1)
        disk.fails = lambda call: errno.EIO if call.op == "open_read" else None
        with pytest.raises(tidal.StorageError):
            db.refresh()
        assert (codes(db), db.health().ready) == (["refresh_failed"], False)
        disk.fails = lambda call: None
        assert db.refresh() == 1
        assert codes(db) == []


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Clock:
    """Seconds that never go back, unless a test says so."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def open_with(path: Path, monotonic: Clock, disk: Disk, **limits: Any) -> tidal.TidalDb:
    settings = Settings(
        wall_clock=time.time_ns,
        event_clock=False,
        max_future_skew_ns=10**9,
        checkpoint_bytes=100,
        materializers={},
        health=tidal.HealthLimits(**limits),
        monotonic=monotonic,
    )
    return open_store(StorePaths(path), StoreOptions(SCHEMA), settings, Wiring(disk.fs))


def test_a_follower_that_stalls(tmp_path: Path, disk: Disk) -> None:
    clock = Clock()
    with open_with(tmp_path / "store", clock, disk, clock="999d") as db:
        db.ingest(signal="view", entity_id=[1, 2, 3])
        db.marks.set("eu-west", 1)
        assert codes(db) == []
        clock.ahead += 901
        assert codes(db) == ["follower_stalled"]
        assert "eu-west" in str(db.health().reasons[0])
        db.marks.set("eu-west", 3)
        assert codes(db) == []


def test_a_checkpoint_that_hangs(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with open_with(tmp_path / "store", clock, disk, clock="999d") as db:
        monkeypatch.setattr(db._upkeep, "checkpoint_if_due", lambda recorder: None)
        for _ in range(5):
            db.ingest(signal="view", entity_id=list(range(1000)))
        clock.ahead += 599
        assert codes(db) == []
        clock.ahead += 2
        assert codes(db) == ["checkpoint_stale"]
        db.checkpoint()
        assert codes(db) == []


def test_a_clock_that_jumps(tmp_path: Path, disk: Disk) -> None:
    clock = Clock()
    with open_with(tmp_path / "store", clock, disk) as db:
        assert codes(db) == []
        clock.ahead += 3600  # the wall clock lost an hour, as seen from the one that never jumps
        assert codes(db) == ["clock_jumped"]
        assert "-3,600 s" in str(db.health().reasons[0])


def test_a_clock_behind_the_events(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with tidal.open(path, schema=SCHEMA, max_future_skew=None) as db:
        db.signal("view", 1, timestamp=time.time_ns() + 10**12)
        assert codes(db) == []  # events may lie anywhere
    with tidal.open(path) as db:
        assert codes(db) == ["clock_behind"]


def test_a_database_in_memory_and_one_that_only_reads_need_no_disk(tmp_path: Path, disk: Disk) -> None:
    with tidal.open(schema=SCHEMA) as db:
        assert codes(db) == []
    tidal.open(tmp_path / "store", schema=SCHEMA).close()
    disk.free = 0
    with tidal.open(tmp_path / "store", read_only=True, file_system=disk.fs) as db:
        assert codes(db) == []


def test_a_closed_database_is_neither(tmp_path: Path) -> None:
    db = tidal.open(schema=SCHEMA)
    db.close()
    with pytest.raises(tidal.StoreClosed):
        db.health()


# ------------------------------------------------------------------------------------ the age of a checkpoint


def test_a_checkpoint_is_as_old_as_its_file(tmp_path: Path, disk: Disk) -> None:
    """Not as the process that opened the store: what was written long before is long ago."""
    with tidal.open(tmp_path / "store", schema=SCHEMA) as db:
        assert db._watch.checkpoint_seconds == (None, None)
        db.signal("view", 1)
    [newest] = (tmp_path / "store" / "checkpoints").iterdir()
    then = time.time() - 5000
    os.utime(newest, (then, then))
    with tidal.open(tmp_path / "store", read_only=True) as reader:
        age, took = reader._watch.checkpoint_seconds
        assert age is not None and age >= 5000 and took is None
    with tidal.open(tmp_path / "store", file_system=disk.fs) as db:
        age, took = db._watch.checkpoint_seconds
        assert age is not None and age >= 5000 and took is None
        assert db.health().ok  # that it is old is no fault where nothing was logged since
        db.signal("view", 2)
        db.checkpoint()
        age, took = db._watch.checkpoint_seconds
        assert age is not None and age < 5000 and took is not None


def test_an_age_that_cannot_be_had_counts_from_opening(db: tidal.TidalDb, disk: Disk) -> None:
    db.checkpoint()
    path = db.path
    db.close()
    assert path is not None
    disk.fails = lambda call: errno.EIO if call.op == "age" else None
    with tidal.open(path, file_system=disk.fs) as again:
        age, _ = again._watch.checkpoint_seconds
        assert age is not None and 0 <= age <= again._watch.uptime


def test_a_follower_that_starts_over_is_up_as_long_as_before(tmp_path: Path) -> None:
    """And a clock that jumped, or a mark that stands still, is not forgotten by it."""
    with leader_at(tmp_path / "leader") as leader, open_as_follower(tmp_path / "f", leader) as follower:
        watch, recorder = follower._watch, follower.recorder
        builder = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
        grown = builder.signal("like", half_life="1d", signed=True).signal("buy", half_life="7d").build()
        follower._host.adopt_schema(schema_to_json(grown))
        assert follower.recorder is not recorder
        assert follower._watch is watch
        assert watch.disk()["segments"] == 0
