"""The folder of jobs: damaged documents, leftovers, and what a crash leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from jobkit import done, files_in

import tidal

Reopen = Callable[..., tidal.TidalDb]


@pytest.fixture
def folder(store: Path) -> Path:
    return store / "exports" / "jobs"


def test_what_a_crash_leaves_goes_and_what_is_not_ours_stays(
    db: tidal.TidalDb, reopen: Reopen, folder: Path
) -> None:
    job = done(db, "signals")
    db.close()
    before = files_in(folder.parents[1])
    for name in (
        f"{job.id}.jsonl.77-0.tmp",  # another writing of the file
        f"{job.id}.job.tmp",
        "0" * 32 + ".jsonl",  # of a job that was being removed
        "1" * 32 + ".parquet.manifest.json",
    ):
        (folder / name).write_bytes(b"x")
    for name in ("notes.txt", "0" * 31 + ".jsonl"):
        (folder / name).write_bytes(b"mine")
    assert len(reopen().jobs.list()) == 1
    assert files_in(folder.parents[1]) == sorted([*before, "notes.txt", "0" * 31 + ".jsonl"])


def test_an_interrupted_removal_is_ended(db: tidal.TidalDb, reopen: Reopen, folder: Path) -> None:
    job = done(db, "signals")
    db.close()
    (folder / f"{job.id}.jsonl").unlink()
    assert list(reopen(read_only=True).jobs.list()) == [replace(job, path=None)]
    assert list(reopen().jobs.list()) == []
    assert files_in(folder.parents[1]) == []


@pytest.mark.parametrize("position", (0, 100, 300, 600))
def test_a_damaged_document_goes_to_quarantine(
    db: tidal.TidalDb, reopen: Reopen, store: Path, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    bad, good = done(db, "signals", limit=1), done(db, "entities")
    db.close()
    path = store / "exports" / "jobs" / f"{bad.id}.job"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert list(reopen(read_only=True).jobs.list()) == [good]
        assert f"{bad.id}.job" in caplog.text
        assert path.exists()
        assert list(reopen().jobs.list()) == [good]
    kept = [it.name for it in (store / "quarantine").iterdir()]
    assert sorted(kept) == [f"{bad.id}.job", f"{bad.id}.jsonl", f"{bad.id}.jsonl.manifest.json"]
    assert all(name.startswith(good.id) for name in files_in(store))


def test_a_document_of_another_job_or_store(
    db: tidal.TidalDb, reopen: Reopen, folder: Path, tmp_path: Path, tidal_schema: tidal.Schema
) -> None:
    job = done(db, "signals")
    db.close()
    copy = "2" * 32
    (folder / f"{copy}.job").write_bytes((folder / f"{job.id}.job").read_bytes())
    assert [it.id for it in reopen().jobs.list()] == [job.id]
    with tidal.open(tmp_path / "other", schema=tidal_schema) as other:
        assert list(other.jobs.list()) == []
    stranger = tmp_path / "other" / "exports" / "jobs" / f"{job.id}.job"
    stranger.write_bytes((folder / f"{job.id}.job").read_bytes())
    with tidal.open(tmp_path / "other") as other:
        assert list(other.jobs.list()) == []
    assert not stranger.exists()


def test_links_are_not_followed(db: tidal.TidalDb, reopen: Reopen, folder: Path, tmp_path: Path) -> None:
    job = done(db, "signals")
    assert job.path is not None
    job.path.rename(tmp_path / "elsewhere")
    job.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(tidal.CorruptStore, match="refused"):
        db.jobs.file(job.id)
