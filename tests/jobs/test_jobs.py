"""db.jobs: made, run, watched, cancelled, resumed, pruned."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from jobkit import Gate, done, files_in, rows_of

import tidal
from tidal.jobs.runner import RUNS_MAX
from tidal.testing import ManualClock

Reopen = Callable[..., tidal.TidalDb]


# ------------------------------------------------------------------------------------ one job


def test_a_job_writes_what_an_export_writes(db: tidal.TidalDb, store: Path, tmp_path: Path) -> None:
    made = db.jobs.create("signals")
    assert (made.status, made.number, made.rows, made.path) == ("queued", 1, 0, None)
    job = db.jobs.wait(made.id, timeout=60)
    plain = db.export_signals(tidal.ExportRequest(all=True)).write(tmp_path / "plain.jsonl")
    assert (job.status, job.rows, job.runs, job.share, job.capped) == ("done", 303, 1, 1.0, False)
    assert job.path is not None
    data = job.path.read_bytes()
    assert data == plain.path.read_bytes()
    assert (job.bytes, job.blake3) == (len(data), blake3(data).hexdigest())
    assert files_in(store) == [f"{job.id}.job", f"{job.id}.jsonl", f"{job.id}.jsonl.manifest.json"]
    assert db.disk_usage()["exports"] == sum(it.stat().st_size for it in job.path.parent.iterdir())
    manifest = json.loads(job.path.with_name(job.path.name + ".manifest.json").read_text())
    assert (manifest["job"], manifest["dataset"], manifest["rows"]) == (job.id, "signals", 303)
    assert manifest["request"]["until_seq"] == manifest["last_seq"] == db.durable_seq
    assert (job.path.stat().st_mode & 0o777, job.path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_ids_are_random_and_times_are_the_clock_s(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    first, second = done(db, "entities"), done(db, tidal.JobRequest("entities"))
    assert (first.number, second.number) == (1, 2)
    assert first.id != second.id
    assert all(len(job.id) == 32 and int(job.id, 16) >= 0 for job in (first, second))
    assert first.created_at == first.started_at == first.finished_at == tidal_clock()


@pytest.mark.parametrize("format", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("compression", "magic", "suffix"),
    [(None, b"", ""), ("gzip", b"\x1f\x8b", ".gz"), ("zstd", b"\x28\xb5", ".zst")],
)
def test_formats(db: tidal.TidalDb, format: str, compression: str | None, magic: bytes, suffix: str) -> None:
    job = done(db, "signals", format=format, compression=compression)
    assert job.path is not None and job.path.name == f"{job.id}.{format}{suffix}"
    with contextlib.closing(db.jobs.file(job.id)) as file:
        assert file.size() == job.bytes
        assert file.read_at(0, 4).startswith(magic)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_formats_of_arrow(db: tidal.TidalDb, format: str) -> None:
    polars = pytest.importorskip("polars")
    job = done(db, "signals", format=format)
    read = {"parquet": polars.read_parquet, "arrow": polars.read_ipc}[format]
    assert len(read(job.path)) == 303


def test_a_limit_is_reported_where_it_cut_rows_off(db: tidal.TidalDb) -> None:
    cut, exact, more = (done(db, "signals", limit=limit) for limit in (302, 303, 304))
    assert [(job.rows, job.capped) for job in (cut, exact, more)] == [(302, True), (303, False), (303, False)]
    assert done(db, "signals", limit=0).capped
    cut = done(db, "scores", limit=3)
    assert (cut.rows, cut.capped, len(rows_of(cut))) == (3, True, 3)
    assert not done(db, "scores", limit=len(rows_of(done(db, "scores")))).capped


def test_ids_as_text(db: tidal.TidalDb) -> None:
    assert rows_of(done(db, "signals", signal_types=["like"], ids_as="text"))[0]["entity_id"].isdecimal()


def test_a_job_has_no_event_of_later(db: tidal.TidalDb) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    for _ in range(2):  # both threads are busy
        db.jobs.create("gate")
    job = db.jobs.create("signals")
    db.signal("view", 1)
    gate.let_through()
    assert db.jobs.wait(job.id, timeout=60).rows == 303


# ------------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_asked_for(db: tidal.TidalDb, store: Path) -> None:
    with pytest.raises(tidal.UnknownDataset, match="no dataset 'signal'; there are entities, hard_negatives"):
        db.jobs.create("signal")
    with pytest.raises(
        tidal.InvalidOption, match=r"'scores' has no filter 'user_id' \(it has entity_id, sig"
    ):
        db.jobs.create("scores", user_id=1)
    with pytest.raises(tidal.UnknownSignalType):
        db.jobs.create("signals", signal_types=["views"])
    with pytest.raises(tidal.InvalidOption, match="format is 'xml'"):
        db.jobs.create("signals", format="xml")
    with pytest.raises(tidal.InvalidOption, match="ids_as is 'hex'"):
        db.jobs.create("signals", ids_as="hex")
    with pytest.raises(tidal.InvalidEntity):
        db.jobs.create("signals", user_id=-1)
    with pytest.raises(tidal.InvalidOption, match="at is 'noon'"):
        db.jobs.create("scores", at="noon")
    with pytest.raises(tidal.InvalidOption, match="status='gone': choose one of 'queued'"):
        db.jobs.list(status="gone")
    assert files_in(store) == [] == list(db.jobs.list())


def test_unknown_jobs(db: tidal.TidalDb) -> None:
    for call in (db.jobs.get, db.jobs.cancel, db.jobs.wait, db.jobs.file):
        for job_id in ("0" * 32, "../../store.json", "", None, []):
            with pytest.raises(tidal.UnknownJob):
                call(job_id)


def test_a_database_in_memory_has_no_jobs(tidal_schema: tidal.Schema) -> None:
    with tidal.open(schema=tidal_schema) as db, pytest.raises(tidal.StoreMissing, match="no folder"):
        _ = db.jobs


def test_a_database_that_only_reads_may_look(db: tidal.TidalDb, reopen: Reopen) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    finished, running = done(db, "signals"), db.jobs.create("gate")
    assert gate.begun.wait(60)
    reader = reopen(read_only=True)
    assert [(job.id, job.status) for job in reader.jobs.list()] == [
        (running.id, "running"), (finished.id, "done"),
    ]  # fmt: skip
    assert reader.jobs.get(finished.id) == finished
    for call in (
        lambda: reader.jobs.create("signals"),
        lambda: reader.jobs.cancel(running.id),
        lambda: reader.jobs.prune(),
        lambda: reader.jobs.wait(running.id),
        lambda: reader.jobs.register("mine", gate),
    ):
        with pytest.raises(tidal.ReadOnly):
            call()
    gate.let_through()
    assert db.jobs.wait(running.id, timeout=60).status == "done"
    assert [job.status for job in reader.jobs.list()] == ["done", "done"]


def test_there_may_be_so_many(reopen: Reopen) -> None:
    db = reopen(jobs=tidal.JobLimits(jobs=2, free_bytes=0))
    for _ in range(2):
        done(db, "signals")
    with pytest.raises(tidal.LimitExceeded, match="there are 2 jobs, and JobLimits"):
        db.jobs.create("signals")
    assert len(db.jobs.prune(keep_for="1ms")) == 0  # they ended now
    with pytest.raises(tidal.InvalidOption, match="build them with tidal"):
        reopen(jobs=3)


# ------------------------------------------------------------------------------------ while it runs


def test_progress(db: tidal.TidalDb) -> None:
    gate = Gate(batches=3)
    db.jobs.register("gate", gate)
    job = db.jobs.create("gate")
    assert gate.begun.wait(60)
    assert (db.jobs.get(job.id).status, db.jobs.get(job.id).rows) == ("running", 0)
    assert db.jobs.wait(job.id, timeout=0.0).status == "running"
    gate.let_through()
    assert (db.jobs.wait(job.id, timeout=60).rows, db.jobs.get(job.id).share) == (3, 1.0)


def test_no_more_threads_than_allowed_and_none_left(reopen: Reopen) -> None:
    db = reopen(jobs=tidal.JobLimits(threads=2, free_bytes=0))
    gate = Gate(batches=1)
    db.jobs.register("gate", gate)
    jobs = [db.jobs.create("gate") for _ in range(5)]
    assert gate.begun.wait(60)
    threads = [thread for thread in threading.enumerate() if thread.name == "tidal-job"]
    assert 1 <= len(threads) <= 2
    assert len(db.jobs.list(status="running")) <= 2
    assert len(db.jobs.list(status="queued")) >= 3
    gate.let_through()
    assert [db.jobs.wait(job.id, timeout=60).status for job in jobs] == ["done"] * 5
    assert gate.calls == 5
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_cancel(db: tidal.TidalDb, reopen: Reopen, store: Path) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    running = db.jobs.create("gate")
    assert gate.begun.wait(60)
    other, queued = (db.jobs.create("gate") for _ in range(2))
    queued = db.jobs.cancel(queued.id)
    assert (queued.status, queued.reason) == ("cancelled", "cancelled before it began")
    assert (db.jobs.cancel(running.id).status, db.jobs.get(running.id).cancelling) == ("running", True)
    assert reopen(read_only=True).jobs.get(running.id).cancelling, "a crash would forget it"
    gate.let_through()
    job = db.jobs.wait(running.id, timeout=60)
    assert (job.status, job.path, job.blake3) == ("cancelled", None, None)
    assert job.reason is not None and job.reason.startswith("cancelled ")
    assert db.jobs.wait(other.id, timeout=60).status == "done"
    assert db.jobs.cancel(other.id).status == "done"
    assert [name for name in files_in(store) if not name.endswith(".job") and other.id not in name] == []
    with pytest.raises(tidal.JobNotDone, match="is cancelled; it has a file once it is done"):
        db.jobs.file(running.id)


def test_a_job_that_fails_says_why_and_leaves_no_file(db: tidal.TidalDb, store: Path) -> None:
    def broken(db: tidal.TidalDb, request: tidal.JobRequest) -> tidal.Columns:
        raise ValueError("the moon\nis full")

    db.jobs.register("broken", broken)
    job = db.jobs.wait(db.jobs.create("broken").id, timeout=60)
    assert (job.status, job.reason, job.path) == ("failed", "ValueError: the moon is full", None)
    assert files_in(store) == [f"{job.id}.job"]
    assert done(db, "signals").rows == 303  # the thread lives on


def test_no_room(reopen: Reopen, store: Path) -> None:
    db = reopen(jobs=tidal.JobLimits(free_bytes=1 << 62))
    job = db.jobs.wait(db.jobs.create("signals").id, timeout=60)
    assert job.status == "failed" and job.reason is not None
    assert "JobLimits.free_bytes" in job.reason and job.reason.startswith("NoSpace: ")
    assert files_in(store) == [f"{job.id}.job"]


def test_a_file_may_be_so_large(db: tidal.TidalDb, reopen: Reopen, store: Path) -> None:
    db.close()
    db = reopen(jobs=tidal.JobLimits(disk_bytes=2_000, free_bytes=0))
    job = db.jobs.wait(db.jobs.create("signals").id, timeout=60)
    assert job.status == "failed" and job.reason is not None and "JobLimits.disk_bytes" in job.reason
    assert files_in(store) == [f"{job.id}.job"]
    whole = done(db, "signals", limit=5).bytes
    db.close()
    db = reopen(jobs=tidal.JobLimits(disk_bytes=whole - 1, free_bytes=0))
    job = db.jobs.wait(db.jobs.create("signals", limit=5).id, timeout=60)  # one batch: seen at its end
    assert job.status == "failed" and job.reason is not None and "JobLimits.disk_bytes" in job.reason


# ------------------------------------------------------------------------------------ over restarts


def test_closing_stops_a_job_and_opening_runs_it_again(
    db: tidal.TidalDb, reopen: Reopen, store: Path
) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    job = db.jobs.create("gate")
    assert gate.begun.wait(60)
    closing = threading.Thread(target=db.close)
    closing.start()
    closing.join(0.5)
    assert closing.is_alive(), "the store was given up while a job could still write"
    gate.let_through(1)
    closing.join(60)
    assert not closing.is_alive()
    assert files_in(store) == [f"{job.id}.job"]
    with pytest.raises(tidal.StoreClosed):
        _ = db.jobs
    db = reopen()
    waiting = db.jobs.get(job.id)
    assert (waiting.status, waiting.runs) == ("queued", 0)
    assert waiting.reason == "waits until the dataset 'gate' is registered"
    again = Gate()
    again.let_through()
    db.jobs.register("gate", again)
    job = db.jobs.wait(job.id, timeout=60)
    assert (job.status, job.rows, job.runs, job.reason) == ("done", 5, 1, None)


def test_waiting_ends_where_the_database_is_closed(db: tidal.TidalDb) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    jobs, job = db.jobs, db.jobs.create("gate")
    errors: list[Exception] = []

    def wait() -> None:
        try:
            jobs.wait(job.id)
        except tidal.StoreClosed as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert gate.begun.wait(60)
    gate.let_through()  # enough for the batch it is at; if all go before the closing, the wait just ends
    db.close()
    waiting.join(60)
    assert not waiting.is_alive()
    with pytest.raises(tidal.StoreClosed):
        jobs.create("signals")
    assert jobs.get(job.id).status == ("queued" if errors else "done")


def test_finished_jobs_are_remembered(db: tidal.TidalDb, reopen: Reopen) -> None:
    kept = done(db, "signals", user_id="ada", since=0, format="csv")
    with pytest.raises(tidal.StoreClosed):
        db.close()
        db.jobs.get(kept.id)
    db = reopen()
    assert db.jobs.get(kept.id) == kept
    assert done(db, "signals").number == kept.number + 1


def test_a_job_that_was_running_is_run_again_but_not_for_ever(
    db: tidal.TidalDb, reopen: Reopen, store: Path
) -> None:
    job = done(db, "signals")
    assert job.path is not None
    whole = job.path.read_bytes()
    for runs in range(1, RUNS_MAX + 1):
        folder = db.jobs._folder
        db.close()
        # As a killed process leaves it: begun, with half a file.
        folder.remove_files(job.id)
        folder.save(_as_running(job, runs))
        (store / "exports" / "jobs" / f"{job.id}.jsonl.1-0.tmp").write_bytes(whole[:100])
        db = reopen()
        again = db.jobs.wait(job.id, timeout=60)
        if runs < RUNS_MAX:
            assert (again.status, again.runs) == ("done", runs + 1)
            assert again.path is not None and again.path.read_bytes() == whole
        else:
            assert (again.status, again.path) == ("failed", None)
            assert again.reason == f"the process ended during each of its {RUNS_MAX} runs"
            assert files_in(store) == [f"{job.id}.job"]


def _as_running(job: tidal.Job, runs: int, *, cancelling: bool = False) -> tidal.Job:
    return tidal.Job(
        job.id, job.number, job.request, tidal.JobStatus.RUNNING, job.created_at,
        started_at=job.started_at, runs=runs, cancelling=cancelling,
    )  # fmt: skip


def test_what_was_cancelled_is_not_run_again(db: tidal.TidalDb, reopen: Reopen) -> None:
    job = done(db, "signals")
    folder = db.jobs._folder
    db.close()
    folder.remove_files(job.id)
    folder.save(_as_running(job, 1, cancelling=True))
    db = reopen()
    assert (db.jobs.get(job.id).status, db.jobs.get(job.id).reason) == ("cancelled", "cancelled")


def test_a_child_leaves_the_parent_s_jobs_alone(db: tidal.TidalDb, store: Path) -> None:
    jobs, before = db.jobs, done(db, "signals")
    child = os.fork()
    if not child:
        try:
            jobs.create("signals")
        except tidal.StoreClosed:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert [job.id for job in jobs.list()] == [before.id]


# ------------------------------------------------------------------------------------ pruning


def test_prune_by_age(db: tidal.TidalDb, tidal_clock: ManualClock, store: Path) -> None:
    old = done(db, "signals")
    tidal_clock.advance("2d")
    new = done(db, "entities")
    assert db.jobs.prune(keep_for="3d") == ()
    assert [job.id for job in db.jobs.prune(keep_for="1d")] == [old.id]
    assert [job.id for job in db.jobs.list()] == [new.id]
    assert all(name.startswith(new.id) for name in files_in(store))
    tidal_clock.advance("8d")
    newest = done(db, "entities")  # keep_for is a week: making a job prunes
    assert [job.id for job in db.jobs.list()] == [newest.id]


def test_prune_by_size_takes_the_oldest(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(done(db, "signals"))
        tidal_clock.advance("1s")
    size = jobs[0].bytes
    assert db.jobs.prune(disk_bytes=3 * size) == ()
    assert [job.id for job in db.jobs.prune(disk_bytes=2 * size)] == [jobs[0].id]
    assert [job.id for job in db.jobs.prune(disk_bytes=0)] == [jobs[1].id, jobs[2].id]


def test_an_ending_makes_room_for_itself(db: tidal.TidalDb, reopen: Reopen, tidal_clock: ManualClock) -> None:
    size = done(db, "signals").bytes
    db.close()
    tidal_clock.advance("1s")
    db = reopen(jobs=tidal.JobLimits(disk_bytes=size + size // 2, free_bytes=0))
    second = done(db, "signals")
    db.close()  # what the end of a job removes is removed by now
    assert [job.id for job in reopen(read_only=True).jobs.list()] == [second.id]


def test_what_has_not_ended_is_not_pruned(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    running = db.jobs.create("gate")
    assert gate.begun.wait(60)
    tidal_clock.advance("30d")
    assert db.jobs.prune(keep_for="1ms", disk_bytes=0) == ()
    gate.let_through()
    assert db.jobs.wait(running.id, timeout=60).status == "done"


# ------------------------------------------------------------------------------------ a user's own


def test_register(db: tidal.TidalDb) -> None:
    def likes(db: tidal.TidalDb, request: tidal.JobRequest) -> tidal.Columns:
        import numpy as np

        return tidal.Columns({"entity_id": np.array([request.entity_id or 0], "u8")})

    db.jobs.register("likes", likes, filters=["entity_id"])
    assert db.jobs.datasets()["likes"] == ("entity_id",)
    assert rows_of(done(db, "likes", entity_id=2**64 - 1)) == [{"entity_id": 2**64 - 1}]
    with pytest.raises(tidal.InvalidOption, match="has no filter 'user_id'"):
        db.jobs.create("likes", user_id=1)
    for name, filters, reason in (
        ("signals", (), "one of tidal's own"),
        ("../x", (), "a name is"),
        ("mine", ("colour",), "no filter 'colour'"),
    ):
        with pytest.raises(tidal.InvalidOption, match=reason):
            db.jobs.register(name, likes, filters=filters)
    with pytest.raises(tidal.InvalidOption, match="no function"):
        db.jobs.register("mine", 3)  # type: ignore[arg-type]


def test_many_at_once(db: tidal.TidalDb, store: Path) -> None:
    """Jobs made and cancelled by several threads: each ends, and what is done has its file and no other."""
    made: list[str] = []

    def work(number: int) -> None:
        for turn in range(6):
            job = db.jobs.create("signals" if turn % 2 else "scores", limit=number + 1)
            made.append(job.id)
            if (number + turn) % 3 == 0:
                db.jobs.cancel(job.id)
            db.jobs.list()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    jobs = [db.jobs.wait(job_id, timeout=60) for job_id in made]
    assert {job.status for job in jobs} <= {"done", "cancelled"}
    assert sorted(job.number for job in jobs) == list(range(1, 25))
    done_ids = {job.id for job in jobs if job.status == "done"}
    assert {name.partition(".")[0] for name in files_in(store) if not name.endswith(".job")} == done_ids
    assert all(job.path is not None and len(job.path.read_bytes()) == job.bytes for job in jobs if job.path)


def test_ingest_goes_on_while_jobs_run(db: tidal.TidalDb) -> None:
    gate = Gate()
    db.jobs.register("gate", gate)
    job = db.jobs.create("gate")
    assert gate.begun.wait(60)
    before = db.last_seq
    for n in range(100):
        db.signal("view", n)
    db.checkpoint()
    assert db.last_seq == before + 100
    gate.let_through()
    assert db.jobs.wait(job.id, timeout=60).status == "done"
