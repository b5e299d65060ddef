"""What tests of export jobs share: a dataset that waits until a test lets it go on, and short forms."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tidal
from tidal.export import Field, Table


class Gate:
    """A dataset of some batches of one row, each of which waits to be let through."""

    def __init__(self, batches: int = 5) -> None:
        self.begun = threading.Event()
        self.calls = 0
        self._batches = batches
        self._permits = threading.Semaphore(0)

    def __call__(self, db: tidal.TidalDb, request: tidal.JobRequest) -> Table:
        self.calls += 1
        return Table([Field("n", "int64")], self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for n in range(self._batches):
            self.begun.set()
            assert self._permits.acquire(timeout=60)
            yield {"n": [n]}

    def let_through(self, batches: int = 1_000) -> None:
        self._permits.release(batches)


def done(db: tidal.TidalDb, *request: Any, **fields: Any) -> tidal.Job:
    """Make a job, and return it once it is done."""
    job = db.jobs.wait(db.jobs.create(*request, **fields).id, timeout=60)
    assert (job.status, job.reason) == ("done", None)
    return job


def rows_of(job: tidal.Job) -> list[dict[str, Any]]:
    """The rows of a job's file of JSON Lines."""
    assert job.path is not None
    return [json.loads(line) for line in job.path.read_text().splitlines()]


def files_in(store: Path) -> list[str]:
    """The names of the files of a store's jobs."""
    return sorted(path.name for path in (store / "exports" / "jobs").iterdir())
