"""`tidal jobs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal

Command = Callable[..., Any]


def test_create_list_show_prune(shop: Path, tidal_command: Command) -> None:
    made = tidal_command("jobs", shop, "create", "signals", "--format", "json")
    assert (made.code, made.err) == (0, "")
    (job,) = made.json
    with tidal.open(shop, read_only=True) as db:
        events = db.last_seq
    assert (job["status"], job["rows"], job["request"]["dataset"]) == ("done", events, "signals")
    assert len(Path(job["path"]).read_text().splitlines()) == events
    assert tidal_command("jobs", shop, "list", "--format", "json").json == [job]
    assert tidal_command("jobs", shop, "show", job["id"], "--format", "json").json == job
    assert f"rows: {events}\n" in tidal_command("jobs", shop, "show", job["id"]).out
    assert job["path"] in tidal_command("jobs", shop, "list").out
    assert tidal_command("jobs", shop, "prune", "--disk-bytes", "0", "--format", "json").json == [job]
    assert tidal_command("jobs", shop, "list", "--format", "json").json == []


def test_filters(shop: Path, tidal_command: Command) -> None:
    def rows(*options: str) -> list[Any]:
        answer = tidal_command("jobs", shop, "create", *options, "--format", "json")
        assert answer.code == 0
        return [json.loads(line) for line in Path(answer.json[0]["path"]).read_text().splitlines()]

    everything = rows("signals", "--keys")
    key = everything[0]["entity_key"]
    mine = rows("signals", "--entity", key, "--signals", "purchase")
    assert mine == rows("signals", "--entity", f"id:{mine[0]['entity_id']}")
    assert 0 < len(mine) < len(everything)
    assert len(rows("signals", "--limit", "1")) == 1
    assert rows("signals", "--until", "1999-01-01") == []
    assert rows("scores", "--at", "2030-01-01")[0]["at_ns"] == 1_893_456_000 * 10**9


def test_what_ctrl_c_left_is_run(shop: Path, tidal_command: Command) -> None:
    done = tidal_command("jobs", shop, "create", "signals", "--format", "json").json[0]
    with tidal.open(shop) as db:
        folder, (job,) = db.jobs._folder, db.jobs.list()
    folder.remove_files(job.id)
    folder.save(tidal.Job(job.id, job.number, job.request, tidal.JobStatus.QUEUED, job.created_at))
    (again,) = tidal_command("jobs", shop, "run", "--format", "json").json
    assert (again["status"], again["blake3"]) == ("done", done["blake3"])
    assert tidal_command("jobs", shop, "cancel", job.id).code == 0  # it is done: nothing happens
    assert tidal_command("jobs", shop, "run", "--format", "json").json == []


@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        (("create", "signal"), 3, "UnknownDataset"),
        (("create", "scores", "--user", "ada"), 2, "InvalidOption"),
        (("create", "signals", "--since", "noon"), 2, "UsageError"),
        (("show", "0" * 32), 3, "UnknownJob"),
        (("cancel", "../x"), 3, "UnknownJob"),
        (("prune", "--keep-for", "long"), 2, "InvalidDuration"),
        (("drop",), 2, "UsageError"),
    ],
)
def test_what_is_refused(
    shop: Path, tidal_command: Command, options: tuple[str, ...], code: int, kind: str
) -> None:
    answer = tidal_command("jobs", shop, *options, "--format", "json")
    assert (answer.code, answer.error["type"]) == (code, kind)


def test_a_store_that_is_none_and_one_that_is_open(
    shop: Path, tidal_command: Command, tmp_path: Path
) -> None:
    assert tidal_command("jobs", tmp_path / "none", "create", "signals").code == 3
    with tidal.open(shop):
        assert tidal_command("jobs", shop, "list").code == 0
        assert (
            tidal_command("jobs", shop, "create", "signals", "--format", "json").error["type"]
            == "StoreLocked"
        )


def test_a_job_that_fails(shop: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidal.jobs import JobFolder

    monkeypatch.setattr(JobFolder, "free_bytes", lambda self: 0)
    answer = tidal_command("jobs", shop, "create", "signals")
    assert answer.code == 1 and "failed" in answer.out and "JobLimits.free_bytes" in answer.out
