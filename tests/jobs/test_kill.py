"""kill -9 while jobs run: what is under a job's name is whole, and in the end equal."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jobkit import done, files_in

import tidal
from tidal.export import Field, Table

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",), velocity=True).build()
START = 1_700_000_000 * 10**9
EVENTS = 150_000
ASKED = (("signals", "csv"), ("windows", "jsonl"), ("signals", "jsonl"))
LIMITS = tidal.JobLimits(free_bytes=0)

# Says a line when it begins, and ends when no job is left.
RUNNER = """
import sys
import tidal
with tidal.open(sys.argv[1], clock="event", jobs=tidal.JobLimits(free_bytes=0)) as db:
    print("open", flush=True)
    for job in db.jobs.list():
        db.jobs.wait(job.id)
"""

# Says a line when half of a file is written, and writes no more of it.
DAWDLER = """
import sys, time
sys.path.insert(0, sys.argv[2])
import tidal
from test_kill import numbers
def stop():
    print("half", flush=True)
    time.sleep(600)
with tidal.open(sys.argv[1], jobs=tidal.JobLimits(free_bytes=0)) as db:
    db.jobs.register("numbers", lambda db, request: numbers(stop))
    db.jobs.wait(db.jobs.create("numbers").id)
"""


def numbers(halfway: Any = lambda: None) -> Table:
    """Twenty batches of a thousand numbers."""

    def batches() -> Iterator[dict[str, Any]]:
        for batch in range(20):
            yield {"n": np.arange(1_000) + 1_000 * batch}
            if batch == 10:
                halfway()

    return Table([Field("n", "int64")], batches())


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a worker, and return it once it has said its line."""
    worker = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline()
    return worker


def kill(worker: subprocess.Popen[str]) -> None:
    worker.send_signal(signal.SIGKILL)  # of one that has ended, nothing
    worker.wait()
    assert worker.stdout is not None
    worker.stdout.close()


def test_killed_halfway(tmp_path: Path) -> None:
    store = tmp_path / "s"
    tidal.open(store, schema=SCHEMA).close()
    kill(start(DAWDLER, store, Path(__file__).parent))
    left = [name.partition(".")[2] for name in files_in(store)]
    assert "job" in left and "jsonl" not in left and any(name.endswith(".tmp") for name in left)
    with tidal.open(store, jobs=LIMITS) as db:
        (job,) = db.jobs.list()
        assert (job.status, job.runs) == ("queued", 1)
        assert files_in(store) == [f"{job.id}.job"]
        db.jobs.register("numbers", lambda db, request: numbers())
        job = db.jobs.wait(job.id, timeout=120)
        assert (job.status, job.runs, job.rows) == ("done", 2, 20_000)
        assert job.path is not None
        whole = numbers().write(tmp_path / "numbers.jsonl")
        assert job.path.read_bytes() == whole.path.read_bytes()


def fill(store: Path) -> dict[str, bytes]:
    """Make a store whose jobs are not begun; return what the file of each should be."""
    n = np.arange(EVENTS)
    wanted = {}
    with tidal.open(store, schema=SCHEMA, clock="event", jobs=LIMITS) as db:
        db.ingest(signal="view", entity_id=n % 3_000, user_id=n % 50, timestamp=START + n * 10**8)
        jobs = [done(db, dataset, format=format) for dataset, format in ASKED]
        for job in jobs:
            assert job.path is not None
            wanted[job.id] = job.path.read_bytes()
        folder = db.jobs._folder
    for job in jobs:
        folder.remove_files(job.id)
        folder.save(tidal.Job(job.id, job.number, job.request, tidal.JobStatus.QUEUED, job.created_at))
    return wanted


def test_killed_at_any_time(tmp_path: Path) -> None:
    store = tmp_path / "s"
    wanted = fill(store)
    rng = random.Random(5)
    for _ in range(2):  # after a third, a job is taken for what ends the process
        worker = start(RUNNER, store)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(rng.uniform(0.0, 0.3))
        kill(worker)
        for job_id, data in wanted.items():
            for path in (store / "exports" / "jobs").glob(f"{job_id}.*"):
                if path.suffix in (".jsonl", ".csv"):
                    assert path.read_bytes() == data
    with tidal.open(store, clock="event", jobs=LIMITS) as db:
        for job_id, data in wanted.items():
            job = db.jobs.wait(job_id, timeout=120)
            assert (job.status, job.reason) == ("done", None)
            assert job.path is not None and job.path.read_bytes() == data
    assert [name for name in files_in(store) if name.endswith(".tmp")] == []
