"""A job's files at each state that a power cut may leave, and with each operation on them failing."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from tidal.errors import NoSpace, StorageError
from tidal.export import Field, Table
from tidal.jobs.book import Book
from tidal.jobs.datasets import Dataset
from tidal.jobs.folder import JobFolder
from tidal.jobs.job import Job, JobStatus
from tidal.jobs.limits import JobLimits
from tidal.jobs.request import JobRequest
from tidal.jobs.run import Run
from tidal.jobs.source import Context, Source
from tidal.store import StorePaths
from tidal.testing.disk import Fault, MemoryDisk, crash_states

PATHS = StorePaths(Path("/s"))
STORE_ID = bytes(range(16))
LIMITS = JobLimits(free_bytes=0)
REQUEST = JobRequest("numbers", compression="none")
ROWS = 300


def numbers() -> Table:
    """Some rows, about three sectors of them, in batches of a hundred."""
    batches = ({"n": np.arange(start, start + 100)} for start in range(0, ROWS, 100))
    return Table([Field("n", "int64")], batches)


DATASET = Dataset(
    "numbers", frozenset(), lambda context, request: Source(numbers(), lambda rows: None, lambda: False)
)
CONTEXT = Context(None, None, None, lambda: None)  # type: ignore[arg-type]  # it reads nothing


def store_disk() -> MemoryDisk:
    disk = MemoryDisk()
    for path in (PATHS.base, PATHS.exports):
        disk.make_dir(path)
        disk.sync_dir(path.parent)
    return disk


def live(disk: MemoryDisk) -> Job:
    """The life of a job, from its making to its removal, told as marks of the disk."""
    folder = JobFolder(disk, PATHS, STORE_ID)
    book = Book(folder, LIMITS, lambda: 5)
    job = book.add("ab" * 16, REQUEST)
    disk.mark("made", 1)
    run = Run(book.begin(job), folder, LIMITS)
    written = run.write(DATASET, CONTEXT).written
    book.end(job.id, JobStatus.DONE, rows=written.rows, bytes=written.bytes, blake3=written.blake3)
    disk.mark("done", 1)
    job = book[job.id]
    book.prune(keep_ns=-1, disk_bytes=None)
    disk.mark("removed", 1)
    return job


def test_every_state_that_a_power_cut_leaves_is_one_to_go_on_from() -> None:
    disk = store_disk()
    done = live(disk)
    seen = set()
    for state in crash_states(disk.initial, disk.journal, rng=random.Random(1)):
        if not {str(PATHS.exports)} <= set(state.image.folders):
            continue
        after = MemoryDisk(state.image)
        folder = JobFolder(after, PATHS, STORE_ID)
        jobs = folder.open()
        seen.add(tuple(job.status for job in jobs))
        assert not after.exists(PATHS.quarantine), "a document was torn"
        assert len(jobs) == 1 or not state.marks.get("made") or state.marks.get("done")
        if state.marks.get("done") and jobs:
            assert jobs[0].status == JobStatus.DONE
        if state.marks.get("removed"):
            assert jobs == []
        names = [f"{job.id}.job" for job in jobs]
        for job in jobs:
            if job.status is JobStatus.DONE:
                assert job.path is not None
                assert blake3(after.open_read(job.path).read_at(0, 1 << 20)).hexdigest() == done.blake3
        assert [name for name in after.list_dir(folder.path) if name.endswith(".job")] == names
        if not any(job.status is JobStatus.DONE for job in jobs):
            assert after.list_dir(folder.path) == names
    assert seen == {(), (JobStatus.QUEUED,), (JobStatus.RUNNING,), (JobStatus.DONE,)}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_fails_no_half_file_has_the_name(number: int) -> None:
    calls = 0
    while True:
        disk = store_disk()
        folder = JobFolder(disk, PATHS, STORE_ID)
        book = Book(folder, LIMITS, lambda: 5)
        job = book.begin(book.add("ab" * 16, REQUEST))
        left = calls

        def faults(method: str, path: str, disk: MemoryDisk = disk) -> Fault | None:
            nonlocal left
            if method in ("exists", "size", "list_dir", "free_bytes"):
                return None
            left -= 1
            return Fault(number) if left == -1 else None

        disk.faults = faults
        try:
            written = Run(job, folder, LIMITS).write(DATASET, CONTEXT).written
        except StorageError as error:
            assert isinstance(error, NoSpace) == (number == errno.ENOSPC)
        else:
            assert left >= 0, "a fault was swallowed"
            assert written.rows == ROWS
            break
        disk.faults = None
        folder.remove_files(job.id)
        assert disk.list_dir(folder.path) == [f"{job.id}.job"]
        calls += 1
    assert calls >= 10
