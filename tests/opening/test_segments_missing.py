"""The rows of open()'s table that are about which segments there are, and the manifest that lists them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
    killed,
    open_small,
    segments,
)

Refused = Callable[..., Any]


def recovery_of(db: tidal.TidalDb) -> tidal.RecoveryReport:
    assert db.recovery is not None
    return db.recovery


@pytest.mark.parametrize(("position", "first", "last"), [(3, 301, 400), (4, 401, 500)])
def test_a_missing_segment_is_refused(
    closed: Path, refused: Refused, position: int, first: int, last: int
) -> None:
    segments(closed)[position].unlink()  # the last one too: the manifest knows of it
    error = refused(closed, tidal.MissingSegment)
    assert (error.first, error.last) == (first, last)


@pytest.mark.parametrize(("position", "gap"), [(0, (1, 100)), (1, (101, 200)), (2, (201, 300))])
def test_a_missing_segment_that_a_checkpoint_covers_is_noted(
    closed: Path, position: int, gap: tuple[int, int]
) -> None:
    segments(closed)[position].unlink()
    for events in (500, 600):  # not once only: it stays lost
        with open_small(closed) as db:
            assert recovery_of(db).missing == (gap,)
            assert db._ledger.state_digest() == digest_of(events)
            fill(db)


def test_a_log_that_lost_all_goes_on_from_its_checkpoint(closed: Path, refused: Refused) -> None:
    with open_small(closed):
        pass  # closes with a checkpoint at 500
    for path in segments(closed):
        path.unlink()
    with open_small(closed) as db:
        assert sum(last - first + 1 for first, last in recovery_of(db).missing) == 500
        fill(db)
    for path in checkpoints(closed):
        path.unlink()
    error = refused(closed, tidal.MissingSegment)
    assert (error.first, error.last) == (1, 100)


def test_an_unlisted_gap_is_refused(crashed: Path, tmp_path: Path, refused: Refused) -> None:
    """The manifest may lag: what it does not list yet is still a chain."""
    manifest = (crashed / "wal" / "manifest.json").read_bytes()
    db = open_small(crashed)
    fill(db, 3)
    store = killed(db, tmp_path / "again")
    with open_small(shutil.copytree(store, tmp_path / "whole")) as db:
        assert db.last_seq == 800
    segments(store)[6].unlink()
    assert b'"base_seq":601' in (store / "wal" / "manifest.json").read_bytes() != manifest
    assert refused(store, tidal.MissingSegment).first == 601


def test_a_segment_under_another_name_is_refused(closed: Path, refused: Refused) -> None:
    last = segments(closed)[-1]
    last.rename(last.with_name("wal-00000000000000000501.seg"))
    assert "its name does not" in str(refused(closed, tidal.CorruptLog))


@pytest.mark.parametrize("name", ["wal-00000000000000000450.seg", "wal-00000000000000000501.seg"])
def test_an_identical_copy_is_ignored(closed: Path, name: str) -> None:
    shutil.copy(segments(closed)[2], closed / "wal" / name)
    (closed / "wal" / "notes.txt").write_text("copied by hand")
    before = content(closed)
    with tidal.open(closed, read_only=True, clock="event") as db:
        assert db._ledger.state_digest() == digest_of(500)
    assert content(closed) == before
    with open_small(closed) as db:
        assert db._ledger.state_digest() == digest_of(500)
        copied, strange = recovery_of(db).notes
        assert name in copied and "is a copy of wal-00000000000000000201.seg" in copied
        assert "notes.txt" in strange
        assert [path.name for path in recovery_of(db).quarantined] == [name]  # its name may be needed
        fill(db)
    with open_small(closed) as db:
        assert db._ledger.state_digest() == digest_of(600)
        assert len(recovery_of(db).notes) == 1


def test_a_copy_that_differs_is_refused(closed: Path, refused: Refused) -> None:
    copy = closed / "wal" / "wal-00000000000000000501.seg"
    shutil.copy(segments(closed)[2], copy)
    flip(copy, copy.stat().st_size - 1)
    assert refused(closed, tidal.CorruptLog).path == copy


def test_a_segment_of_another_store_is_refused(closed: Path, tmp_path: Path, refused: Refused) -> None:
    with open_small(tmp_path / "other") as db:
        fill(db, 6)
    foreign = segments(tmp_path / "other")[5]
    shutil.copy(foreign, closed / "wal" / foreign.name)
    assert "is of store" in str(refused(closed, tidal.CorruptLog))


def test_a_segment_that_another_opening_wrote_is_refused(
    closed: Path, tmp_path: Path, refused: Refused
) -> None:
    """A copy of the store went its own way: the same store id, sequence and name, other events."""
    shutil.copytree(closed, tmp_path / "twin")
    for path, extra in ((closed, 1), (tmp_path / "twin", 2)):
        with open_small(path, schema=None) as db:
            db.ingest(signal="view", entity_id=[extra] * 5)
    ours, theirs = segments(closed)[-1], segments(tmp_path / "twin")[-1]
    assert ours.name == theirs.name
    shutil.copy(theirs, ours)
    assert "replaced" in str(refused(closed, tidal.CorruptLog))


def test_a_segment_beside_a_closed_log_is_refused(closed: Path, tmp_path: Path, refused: Refused) -> None:
    shutil.copytree(closed, tmp_path / "twin")
    with open_small(tmp_path / "twin") as db:
        fill(db)
    newer = segments(tmp_path / "twin")[-1]
    shutil.copy(newer, closed / "wal" / newer.name)
    error = refused(closed, tidal.CorruptLog)
    assert error.path.name == newer.name and "closed at event 500" in str(error)


def test_a_manifest_older_than_the_log_is_refused(crashed: Path, tmp_path: Path, refused: Refused) -> None:
    manifest = crashed / "wal" / "manifest.json"
    before = manifest.read_bytes()
    db = open_small(crashed)
    fill(db)
    store = killed(db, tmp_path / "again")
    (store / "wal" / "manifest.json").write_bytes(before)
    error = refused(store, tidal.CorruptLog)
    assert error.path.name == "manifest.json" and "epoch" in str(error)


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped", "foreign"])
def test_a_manifest_that_is_no_good_is_refused(
    closed: Path, tmp_path: Path, refused: Refused, damage: str
) -> None:
    manifest = closed / "wal" / "manifest.json"
    if damage == "missing":
        manifest.unlink()
    elif damage == "empty":
        manifest.write_bytes(b"")
    elif damage == "flipped":
        flip(manifest, 200)
    else:
        tidal.open(tmp_path / "other", schema=SCHEMA).close()
        shutil.copy(tmp_path / "other" / "wal" / "manifest.json", manifest)
    error = refused(closed, tidal.CorruptLog)
    assert error.path == manifest and "salvage" in str(error)


def test_what_was_given_up_is_removed_after_opening(closed: Path) -> None:
    """A crash between the manifest that gives segments up and their removal."""
    given_up = {path.name: path.read_bytes() for path in segments(closed)[:2]}
    db = open_small(closed)
    assert len(db._log.forget(200)) == 2
    db._release()
    for name, data in given_up.items():
        (closed / "wal" / name).write_bytes(data)
    before = content(closed)
    with tidal.open(closed, read_only=True) as db:
        assert [path.name for path in recovery_of(db).leftovers] == list(given_up)
    assert content(closed) == before
    with open_small(closed) as db:
        assert [path.name for path in recovery_of(db).leftovers] == list(given_up)
        assert recovery_of(db).clean and db._ledger.state_digest() == digest_of(500)
    assert segments(closed)[0].name == "wal-00000000000000000201.seg"


def test_what_lies_before_the_log_and_is_not_understood_stays(closed: Path) -> None:
    first = segments(closed)[0]
    data = first.read_bytes()
    db = open_small(closed)
    db._log.forget(200)
    db._release()
    first.write_bytes(data[:-1])
    with open_small(closed) as db:
        assert recovery_of(db).leftovers == ()
        assert first.name in recovery_of(db).notes[0]
    assert first.exists()


def test_a_log_without_its_beginning_needs_a_checkpoint(closed: Path, refused: Refused) -> None:
    db = open_small(closed)
    db._log.forget(200)
    db._release()
    for path in checkpoints(closed):
        path.unlink()
    error = refused(closed, tidal.MissingSegment)
    assert (error.first, error.last) == (1, 200)


def test_an_unborn_segment_does_not_hide_a_lost_one(crashed: Path, refused: Refused) -> None:
    """The next segment's file is made after the one before it was sealed: that one was there."""
    last = segments(crashed)[-1]
    last.rename(last.with_name("wal-00000000000000000501.seg"))
    last.with_name("wal-00000000000000000501.seg").write_bytes(b"")
    error = refused(crashed, tidal.MissingSegment)
    assert (error.first, error.last) == (401, 500)


def test_a_checkpoint_of_another_history_is_refused(closed: Path, tmp_path: Path, refused: Refused) -> None:
    shutil.copytree(closed, tmp_path / "twin")
    for path, entity in ((closed, 1), (tmp_path / "twin", 2)):
        with open_small(path) as db:
            db.ingest(signal="view", entity_id=[entity] * 5)
    ours, theirs = checkpoints(closed)[-1], checkpoints(tmp_path / "twin")[-1]
    assert ours.name == theirs.name
    shutil.copy(theirs, ours)
    assert "another history" in str(refused(closed, tidal.CorruptCheckpoint))


def test_a_last_segment_that_follows_another_one_is_refused(
    closed: Path, tmp_path: Path, refused: Refused
) -> None:
    """Two copies of a store went their own ways, and were killed: their last segments are not listed."""
    shutil.copytree(closed, tmp_path / "twin")
    stores = []
    for path, entity in ((closed, 1), (tmp_path / "twin", 2)):
        db = open_small(path)
        for _ in range(2):
            db.ingest(signal="view", entity_id=[entity] * 5)
        stores.append(killed(db, tmp_path / f"killed{entity}"))
    ours, theirs = (segments(store)[-1] for store in stores)
    assert ours.name == theirs.name == "wal-00000000000000000506.seg"
    shutil.copy(theirs, ours)
    error = refused(stores[0], tidal.CorruptLog)
    assert error.path == ours and "does not continue" in str(error)


def test_a_checkpoint_within_a_segment_is_held_against_the_log_too(tmp_path: Path, refused: Refused) -> None:
    """Two copies went their own ways and were killed: no segment ends where the checkpoint does."""
    for name, entity in (("ours", 1), ("theirs", 2)):
        path = tmp_path / name
        if name == "theirs":
            shutil.copytree(tmp_path / "start", path)
        with open_small(path) as db:
            pass
        if name == "ours":
            shutil.copytree(path, tmp_path / "start")
        db = tidal.open(path, schema=SCHEMA, clock="event")
        for _ in range(3):
            db.ingest(signal="view", entity_id=[entity] * 5)
            if db.last_seq == 10:
                db.checkpoint()
        killed(db, tmp_path / f"{name} killed")
    with tidal.open(tmp_path / "ours killed", read_only=True, clock="event") as db:
        assert db.last_seq == 15
    (ours,), (theirs,) = (checkpoints(tmp_path / f"{name} killed") for name in ("ours", "theirs"))
    shutil.copy(theirs, ours)
    assert "another history" in str(refused(tmp_path / "ours killed", tidal.CorruptCheckpoint))
