"""Archiving as a user of the database meets it."""

from __future__ import annotations

import errno
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from archivekit import QuickFs
from tallying import Tally

import tidal
from tidal.archive import upkeep
from tidal.archive.upkeep import NOTHING_ARCHIVED, Archiver
from tidal.errors import (
    CorruptArchive,
    InvalidRetention,
    MissingSegment,
    ReadOnly,
    StorageError,
    StoreClosed,
    StoreMissing,
)
from tidal.opening import Wiring
from tidal.opening import arguments as opening_arguments

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are opened with segments of one batch each, archived one by one, and sync nothing."""
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(QuickFs(), segment_bytes=1))
    monkeypatch.setattr(upkeep, "FILE_LOG_BYTES", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def fill(db: tidal.TidalDb, batches: int = 6) -> None:
    """Batches of one event, with a checkpoint after each."""
    for number in range(batches):
        db.signal("view", f"item {number % 3}")
        db.checkpoint()


def ended(name: str) -> None:
    """Wait until no thread of that name is left."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()


def test_archive_on_demand(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA) as db:
        fill(db)
        report = db.archive()
        assert [file.last_seq for file in report.archived] == [1, 2, 3, 4, 5]
        assert db.archive().archived == ()
        usage = db.disk_usage()
        assert usage["archive"] > report.archived_bytes
        assert usage["total"] == sum(usage.values()) - usage["total"]
    with tidal.open(folder, read_only=True) as db:
        assert db.recovery is not None and db.recovery.clean
        assert db.count("view", "item 0", "all") == 2
        assert db.disk_usage()["archive"] == usage["archive"]


def test_what_waits_goes_into_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(QuickFs(), segment_bytes=1))
    with tidal.open(folder, schema=SCHEMA) as db:
        fill(db)
        report = db.archive()
        assert [(file.base_seq, file.last_seq, len(file.segments)) for file in report.archived] == [(1, 5, 4)]
        assert len(report.removed) == 5
    replayed = tidal.replay(folder)
    assert [replayed.count("view", f"item {number}", "all") for number in range(3)] == [2, 2, 2]


def test_archiving_follows_a_checkpoint_that_was_due(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA, checkpoint_bytes=1) as db:
        for _ in range(6):
            db.signal("view", 1)
            ended("tidal-checkpoint")
    assert len(list((folder / "archive").glob("*.arc"))) >= 3


def test_none_where_it_was_not_asked_for(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA, checkpoint_bytes=1, archive=False) as db:
        for _ in range(6):
            db.signal("view", 1)
            ended("tidal-checkpoint")
        assert db.disk_usage()["archive"] == 0
        assert db.archive().archived


@pytest.mark.parametrize("error", [StorageError(errno.EIO, "bad disk"), RuntimeError("bad disk")], ids=repr)
def test_a_failure_is_logged_and_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    run = Archiver.run

    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    with tidal.open(folder, schema=SCHEMA, checkpoint_bytes=1) as db:
        monkeypatch.setattr(Archiver, "run", fail)
        with caplog.at_level(logging.ERROR):
            for _ in range(4):
                db.signal("view", 1)
                ended("tidal-checkpoint")
        assert "archiving failed" in caplog.text and "bad disk" in caplog.text
        assert "bad disk" in db.stats()["archive_error"]
        monkeypatch.setattr(Archiver, "run", run)
        db.signal("view", 1)
        ended("tidal-checkpoint")
        assert db.stats()["archive_error"] is None
        assert db.disk_usage()["archive"] > 0


def test_close_waits_for_a_file_and_not_for_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archiving stops at the next file; what was not done is done another time."""
    db = tidal.open(folder, schema=SCHEMA, checkpoint_bytes=None)
    fill(db)
    begun, go_on = threading.Event(), threading.Event()
    reports = []

    def told(done: int, total: int) -> None:
        begun.set()
        assert go_on.wait(60)

    worker = threading.Thread(target=lambda: reports.append(db.archive(progress=told)))
    worker.start()
    assert begun.wait(60)
    closer = threading.Thread(target=db.close)
    closer.start()
    for _ in range(6000):
        if db._upkeep._ending:
            break
        time.sleep(0.01)
    assert db._upkeep._ending
    go_on.set()
    closer.join()
    worker.join()
    assert len(reports[0].archived) == len(reports[0].removed) == 1
    with tidal.open(folder) as db:
        assert db.recovery is not None and db.recovery.clean
        assert len(db.archive().archived) == 4


def test_retention(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA, retain=0) as db:
        fill(db)
        assert len(db.archive().retired) == 5
        assert db.disk_usage()["log"] > 0
    with tidal.open(folder, schema=SCHEMA) as db:
        assert db.count("view", "item 0", "all") == 2
    with pytest.raises(InvalidRetention):
        tidal.open(folder, retain="90")


def test_marks(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA) as db:
        fill(db)
        marks = db.marks
        marks.set("follower", 2)
        report = db.archive()
        assert (len(report.archived), report.held_by) == (2, "follower")
    with tidal.open(folder, read_only=True) as db:
        assert db.marks.all() == {"follower": 2}
        with pytest.raises(ReadOnly):
            db.marks.set("follower", 3)
        with pytest.raises(ReadOnly):
            db.archive()
    for late in (lambda: db.marks, lambda: marks.set("follower", 3), lambda: marks.remove("follower")):
        with pytest.raises(StoreClosed):
            late()


def test_in_memory() -> None:
    with tidal.open(schema=SCHEMA) as db:
        assert db.archive() == NOTHING_ARCHIVED
        assert set(db.disk_usage().values()) == {0}
        with pytest.raises(StoreMissing):
            _ = db.marks


def archived_store(folder: Path) -> None:
    with tidal.open(folder, schema=SCHEMA) as db:
        fill(db)
        db.archive()


def test_a_store_without_checkpoints_is_made_anew_from_its_archive(folder: Path) -> None:
    archived_store(folder)
    with tidal.open(folder) as db:
        before = db._ledger.state_digest()
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with tidal.open(folder) as db:
        assert db.recovery is not None
        assert (db.recovery.checkpoint_seq, db.recovery.replayed_events) == (0, 6)
        assert db._ledger.state_digest() == before
        assert db.key_of(db.items.id_of("item 2")) == "item 2"


def test_a_damaged_archive_that_is_needed_is_refused(folder: Path) -> None:
    archived_store(folder)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    path = sorted((folder / "archive").glob("*.arc"))[2]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptArchive, match=path.name):
        tidal.open(folder)
    path.unlink()
    with pytest.raises(MissingSegment, match="events 3 to 3 are missing"):
        tidal.open(folder)


def test_what_an_interrupted_writing_left_is_removed_at_the_next_open(folder: Path) -> None:
    archived_store(folder)
    left = [
        folder / "archive" / f"{name}.tmp" for name in ("manifest.json", "marks.json", f"archive-{6:020}.arc")
    ]
    for path in left:
        path.write_bytes(b"half")
    other = folder / "archive" / "mine.tmp"
    other.write_bytes(b"of somebody else")
    with tidal.open(folder, read_only=True):
        assert all(path.exists() for path in left)
    with tidal.open(folder) as db:
        assert db.recovery is not None
        assert set(db.recovery.leftovers) >= set(left)
    assert not any(path.exists() for path in left) and other.exists()


def test_a_new_materializer_sees_what_is_archived(folder: Path) -> None:
    archived_store(folder)
    seen = Tally()
    with tidal.open(folder, materializers={"seen": seen}):
        assert seen.events == 6


def test_the_archive_stands_in_for_a_damaged_segment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tidal.open(folder, schema=SCHEMA) as db:
        fill(db)
        monkeypatch.setattr(db._log, "forget", lambda seq: ())  # archived, and not yet gone from the log
        db.archive()
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    segment = sorted((folder / "wal").glob("*.seg"))[1]
    data = segment.read_bytes()
    segment.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    with tidal.open(folder) as db:
        assert db.recovery is not None
        assert [it.path for it in db.recovery.replaced] == [segment]
        assert db.last_seq == 6
        assert db.archive().archived == ()
    with tidal.open(folder) as db:
        assert db.count("view", "item 1", "all") == 2


def test_history_is_as_old_as_its_newest_event_says(folder: Path) -> None:
    """Loaded years later, the last 90 days of a history are kept, not given up as long past."""
    day, then = 86_400 * 10**9, 1_500_000_000 * 10**9
    with tidal.open(folder, schema=SCHEMA, clock="event", retain="90d") as db:
        for number in range(6):
            db.signal("view", number, timestamp=then + 40 * number * day)
            db.checkpoint()
        report = db.archive()
    assert len(report.archived) == 5  # of days 0 to 160; the newest event is of day 200
    assert len(report.retired) == 3  # of days 0, 40 and 80
