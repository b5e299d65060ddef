"""What opening for writing changes: in which order, after a crash at any step, and on a full disk."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

import tidal
from tests.opening.conftest import (
    SCHEMA,
    checkpoints,
    content,
    digest_of,
    fill,
    flip,
    open_small,
    segments,
)
from tidal.durable import File, OsFileSystem
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, segment_name
from tidal.format.snapshot import checkpoint_name

LOG = LogIdentity(bytes(16), 0)


def recovery_of(db: tidal.TidalDb) -> tidal.RecoveryReport:
    assert db.recovery is not None
    return db.recovery


# ------------------------------------------------------------------------------------ checkpoints


def test_a_damaged_checkpoint_is_put_aside(closed: Path) -> None:
    newest = checkpoints(closed)[-1]
    flip(newest, newest.stat().st_size // 2)
    damaged = newest.read_bytes()
    before = content(closed)
    with tidal.open(closed, read_only=True) as db:
        assert recovery_of(db).damaged_checkpoints[0].path == newest
        assert recovery_of(db).quarantined == ()
    assert content(closed) == before
    with open_small(closed) as db:
        report = recovery_of(db)
        assert (report.checkpoint_seq, report.replayed_events) == (200, 300)
        (found,) = report.damaged_checkpoints
        assert report.quarantined == (found.path,) and found.path.read_bytes() == damaged
        assert db._ledger.state_digest() == digest_of(500)


def test_without_a_good_checkpoint_the_whole_log_is_replayed(closed: Path) -> None:
    for path in checkpoints(closed):
        flip(path, 200)
    with open_small(closed) as db:
        report = recovery_of(db)
        assert (report.checkpoint_seq, report.replayed_events, len(report.quarantined)) == (0, 500, 2)
        assert db._ledger.state_digest() == digest_of(500)


# ------------------------------------------------------------------------------------ leftovers


TEMPORARIES = [
    "store.json", "schema.json", "entities.sqlite", "wal/manifest.json", f"wal/{segment_name(LOG, 401)}",
    f"checkpoints/{checkpoint_name(300)}",
]  # fmt: skip
STRANGE = ["notes.tmp", "wal/wal-1.seg.tmp", "wal/other.tmp", "checkpoints/mine.tmp", "schema.json.tmp.bak"]


def test_unfinished_files_go_when_the_store_is_open_and_no_sooner(closed: Path) -> None:
    temporaries = {f"{name}.tmp" for name in TEMPORARIES}
    for name in (*temporaries, *STRANGE):
        (closed / name).write_bytes(b"left by a crash")
    path = segments(closed)[3]
    flip(path, 300)
    with pytest.raises(tidal.CorruptLog):
        tidal.open(closed)
    assert all((closed / name).exists() for name in temporaries)
    flip(path, 300)
    with open_small(closed):
        pass
    assert not any((closed / name).exists() for name in temporaries)
    assert all((closed / name).exists() for name in STRANGE)


# ------------------------------------------------------------------------------------ crashes on the way


class Crash(BaseException):
    pass


def abandon(db: tidal.TidalDb) -> None:
    """End a database that can write nothing any more."""
    assert db._disk is not None and isinstance(db._disk.fs, CrashingFileSystem)
    db._disk.fs.left = 0
    db._release()


class CrashingFileSystem(OsFileSystem):
    """Raises Crash at the n-th call that changes something, before it is made."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def count(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def create(self, path: Path) -> File:
        self.count()
        file: Any = super().create(path)
        append, sync = file.append, file.sync
        file.append = lambda parts: (self.count(), append(parts))[1]
        file.sync = lambda: (self.count(), sync())[1]
        return file

    def rename(self, source: Path, target: Path) -> None:
        self.count()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.count()
        super().remove(path)

    def make_dir(self, path: Path) -> None:
        self.count()
        super().make_dir(path)

    def sync_dir(self, path: Path) -> None:
        self.count()
        super().sync_dir(path)


@pytest.mark.parametrize("damage", ["none", "torn", "checkpoint", "both"])
def test_a_crash_at_any_step_of_an_opening_changes_nothing_that_is_seen(
    tmp_path: Path, crashed: Path, damage: str
) -> None:
    if damage in ("torn", "both"):
        last = segments(crashed)[-1]
        last.write_bytes(last.read_bytes()[:-9])
    if damage in ("checkpoint", "both"):
        flip(checkpoints(crashed)[-1], 1000)
    events = 400 if damage in ("torn", "both") else 500
    steps = 0
    while True:
        store = shutil.copytree(crashed, tmp_path / f"store{steps}")
        try:
            db = open_small(store, fs=CrashingFileSystem(steps))
        except Crash:
            steps += 1
        else:
            with pytest.raises((Crash, tidal.TidalError)):
                abandon(db)
            break
        with open_small(store) as db:
            assert db._ledger.state_digest() == digest_of(events)
            kept = list((store / "quarantine").iterdir()) if damage != "none" else []
            assert len(kept) == {"none": 0, "both": 2}.get(damage, 1)
            fill(db)
        with open_small(store) as db:
            assert recovery_of(db).clean
            assert db._ledger.state_digest() == digest_of(events + 100)
    assert steps > 12


# ------------------------------------------------------------------------------------ a full disk


class FullFileSystem(OsFileSystem):
    """Has no space for a byte of a store while ``full``."""

    def __init__(self, store: Path) -> None:
        super().__init__()
        self.full, self.store = True, store

    def create(self, path: Path) -> File:
        if self.full and self.store in path.parents:  # the copy of the entities is elsewhere
            raise tidal.NoSpace(errno.ENOSPC, "open: no space left", str(path))
        return super().create(path)


def test_a_store_opens_on_a_full_disk_and_writes_when_there_is_space(crashed: Path) -> None:
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes()[:-9])
    fs = FullFileSystem(crashed)
    db = tidal.open(crashed, file_system=fs, clock="event")
    assert recovery_of(db).torn is not None and "no space" in recovery_of(db).notes[-1]
    assert db._ledger.state_digest() == digest_of(400)
    assert (db.last_seq, db.durable_seq) == (400, 400)
    before = [path.read_bytes() for path in segments(crashed)]
    for write in (
        lambda: db.signal("view", 1),
        lambda: db.ingest(signal="view", entity_id=[1, 2]),
        lambda: db.items.put(1, {"a": 1}),
        db.flush,
        db.checkpoint,
    ):
        for _ in range(2):
            with pytest.raises(tidal.NoSpace):
                write()
    assert db.items.get(1) is None and db.last_seq == 400
    assert [path.read_bytes() for path in segments(crashed)] == before
    fs.full = False
    fill(db)
    db.items.put(1, {"a": 1})
    assert recovery_of(db).notes == () and len(recovery_of(db).quarantined) == 1
    assert (db.last_seq, db.durable_seq, db.items.get(1)) == (500, 500, {"a": 1})
    db.close()
    with tidal.open(crashed, clock="event") as db:
        assert recovery_of(db).clean_shutdown and db.items.get(1) == {"a": 1}
        assert db._ledger.state_digest() == digest_of(500)


def test_what_a_full_disk_interrupted_half_way_is_done_once(crashed: Path) -> None:
    """The repair succeeds, the manifest does not: the next attempt must not take the seal for a torn end."""
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes()[:-9])

    class NoManifest(OsFileSystem):
        full = True

        def create(self, path: Path) -> File:
            if self.full and path.name.startswith("manifest"):
                raise tidal.NoSpace(errno.ENOSPC, "open: no space left", str(path))
            return super().create(path)

    fs = NoManifest()
    with tidal.open(crashed, file_system=fs, clock="event") as db:
        for _ in range(3):
            with pytest.raises(tidal.NoSpace):
                db.signal("view", 1)
        fs.full = False
        fill(db)
        assert len(recovery_of(db).quarantined) == 1
        assert len(list((crashed / "quarantine").iterdir())) == 1
        assert db._ledger.state_digest() == digest_of(500)


def test_closing_a_store_that_could_not_be_prepared_is_no_failure(crashed: Path) -> None:
    before = content(crashed / "wal")
    tidal.open(crashed, file_system=FullFileSystem(crashed)).close()
    assert content(crashed / "wal") == before
    with tidal.open(crashed, clock="event") as db:
        assert db._ledger.state_digest() == digest_of(500)


def test_a_schema_grows_when_there_is_space(closed: Path) -> None:
    fs = FullFileSystem(closed)
    grown = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()
    with tidal.open(closed, schema=grown, file_system=fs) as db:
        with pytest.raises(tidal.NoSpace):
            db.signal("like", 1)
        fs.full = False
        assert db.signal("like", 1) == 501
    with tidal.open(closed) as db:
        assert db.schema.names == ("view", "like") and db.count("like", 1, "all") == 1
    assert SCHEMA.names == ("view",)


def test_any_other_failure_is_raised_and_leaves_the_store_to_be_opened_again(crashed: Path) -> None:
    class Failing(OsFileSystem):
        def create(self, path: Path) -> File:
            raise tidal.StorageError(errno.EIO, "open: fault", str(path))

    before = [path.read_bytes() for path in segments(crashed)]
    with pytest.raises(tidal.StorageError, match="fault"):
        tidal.open(crashed, file_system=Failing())
    assert [path.read_bytes() for path in segments(crashed)] == before
    with open_small(crashed) as db:
        assert db._ledger.state_digest() == digest_of(500)


def test_the_log_is_repaired_before_the_manifest_says_so(crashed: Path) -> None:
    steps: list[tuple[str, str]] = []

    class Recording(OsFileSystem):
        def rename(self, source: Path, target: Path) -> None:
            steps.append(("rename", target.name))
            super().rename(source, target)

        def create(self, path: Path) -> File:
            steps.append(("create", path.name))
            return super().create(path)

        def remove(self, path: Path) -> None:
            steps.append(("remove", path.name))
            super().remove(path)

    (crashed / "wal" / "manifest.json.tmp").write_bytes(b"")
    (crashed / "schema.json.tmp").write_bytes(b"")
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes()[: SEGMENT_HEADER.size + 50])
    db = open_small(crashed, fs=Recording())
    fill(db)
    kept = next((crashed / "quarantine").iterdir()).name
    assert steps == [
        ("create", f"{kept}.tmp"), ("rename", kept),
        ("remove", last.name),
        ("remove", "manifest.json.tmp"), ("create", "manifest.json.tmp"), ("rename", "manifest.json"),
        ("remove", "schema.json.tmp"),
        ("create", last.name),
    ]  # fmt: skip
    db._release()
