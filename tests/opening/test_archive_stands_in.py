"""Segments that are damaged or gone, and whose events the archive has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tidal
from tests.opening.conftest import checkpoints, content, digest_of, fill, flip, open_small, segments
from tidal.archive import read_archive_manifest, upkeep, write_archive_manifest
from tidal.durable import OsFileSystem
from tidal.format.archive import archive_name
from tidal.format.segment import LogIdentity
from tidal.inspect import verify

IDENTITY = LogIdentity(bytes(16), 0)


def archive_files(folder: Path) -> list[Path]:
    return sorted((folder / "archive").glob("*.arc"))


def recovery_of(db: tidal.TidalDb) -> tidal.RecoveryReport:
    assert db.recovery is not None
    return db.recovery


@pytest.fixture(params=[1, upkeep.FILE_LOG_BYTES], ids=["a file each", "together"])
def both(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """600 events; the first 400 are archived, and a crash kept their segments in the log."""
    monkeypatch.setattr(upkeep, "FILE_LOG_BYTES", request.param)
    path = tmp_path / "both"
    db = open_small(path)
    for _ in range(2):
        fill(db, 2)
        db.checkpoint()
    fill(db, 2)
    kept = {file: file.read_bytes() for file in segments(path)}
    manifest = (path / "wal" / "manifest.json").read_bytes()
    db.checkpoint()  # so that the second newest is at 400
    ends = [100, 200, 300, 400] if request.param == 1 else [400]
    assert [file.last_seq for file in db.archive().archived] == ends
    db._release()
    for file, data in kept.items():
        file.write_bytes(data)
    (path / "wal" / "manifest.json").write_bytes(manifest)
    return path


def test_log_and_archive_agree(both: Path) -> None:
    assert [finding.code for finding in verify(both).findings if finding.severity == "damage"] == []
    manifest = read_archive_manifest(OsFileSystem(), both / "archive", None)
    assert manifest is not None
    lying = [
        replace(file, segments=tuple(end._replace(final_hash=bytes(32)) for end in file.segments))
        for file in manifest.files
    ]
    write_archive_manifest(OsFileSystem(), both / "archive", replace(manifest, files=tuple(lying)))
    damage = [finding.first_seq for finding in verify(both).findings if finding.code == "archive-misfit"]
    assert damage == ([] if len(lying) > 1 else [1, 101, 201])


def test_a_damaged_segment_that_is_archived_is_put_aside(both: Path) -> None:
    damaged = segments(both)[1]
    for path in checkpoints(both):
        path.unlink()  # so that its events are needed
    flip(damaged, 300)
    bad = damaged.read_bytes()
    before = content(both)
    with tidal.open(both, read_only=True, clock="event") as db:
        assert recovery_of(db).replaced[0].path == damaged
        assert db._ledger.state_digest() == digest_of(600)
    assert content(both) == before
    with open_small(both) as db:
        report = recovery_of(db)
        assert report.replaced[0].listed.base_seq == 101 and not report.clean
        assert [path.read_bytes() for path in report.quarantined] == [bad]
        assert db._ledger.state_digest() == digest_of(600)
        fill(db)
    assert not damaged.exists()
    for path in checkpoints(both):
        path.unlink()
    with open_small(both) as db:  # and it is read from the archive from now on
        assert recovery_of(db).replaced[0].path is None
        assert db._ledger.state_digest() == digest_of(700)


def test_a_damaged_segment_whose_archive_is_damaged_too_is_refused(both: Path) -> None:
    for path in checkpoints(both):
        path.unlink()
    flip(segments(both)[1], 300)
    flip([path for path in archive_files(both) if path.name <= archive_name(IDENTITY, 101)][-1], 500)
    before = content(both)
    with pytest.raises(tidal.CorruptLog):
        tidal.open(both)
    assert content(both) == before


def test_bad_checkpoints_are_made_up_for_by_the_archive(both: Path) -> None:
    with open_small(both) as db:
        db.archive()
    assert segments(both)[0].name == "wal-00000000000000000401.seg"
    for path in checkpoints(both):
        flip(path, path.stat().st_size // 2)
    with open_small(both) as db:
        report = recovery_of(db)
        assert (report.checkpoint_seq, report.replayed_events, len(report.quarantined)) == (0, 600, 2)
        assert db._ledger.state_digest() == digest_of(600)
