"""What a snapshot says of a database, and that looking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.db import TidalDb
from tidal.errors import StorageError, StoreClosed, UnknownMeasure, UnknownSignalType
from tidal.page import Snapshots
from tidal.schema.measures import measures_of

NOW = 1_700_000_000 * 10**9
SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("follow", kind="user", half_life="7d")
    .build()
)


class Clock:
    """Seconds that never go back, set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db(tmp_path: Path) -> Iterator[TidalDb]:
    with tidal.open(tmp_path / "shop", schema=SCHEMA, clock=lambda: NOW) as db:
        yield db


def looking_at(db: TidalDb, **options: Any) -> tuple[Snapshots, Clock]:
    clock = Clock()
    return Snapshots(db, clock=clock, wall_clock=lambda: NOW, **options), clock


def test_it_says_what_the_database_says(db: TidalDb) -> None:
    db.ingest(signal="view", entity_id=["a", "b", "a"])
    db.checkpoint()
    db.signal("follow", "kim")
    db.flush()
    db.marks.set("replica", 1)
    snapshots, _ = looking_at(db)
    found = json.loads(json.dumps(snapshots.take(), allow_nan=False))
    assert (found["format"], found["version"], found["store"]) == (1, tidal.__version__, "shop")
    assert found["at_ms"] == NOW // 10**6 and found["read_only"] is False
    assert found["log"] == {"last_seq": 4, "durable_seq": 4, "unsynced_bytes": 0}
    checkpoint = found["checkpoint"]
    assert (checkpoint["seq"], checkpoint["behind"], checkpoint["error"]) == (3, 1, None)
    assert checkpoint["age_seconds"] >= 0 and checkpoint["took_seconds"] > 0
    assert found["followers"] == [
        {"name": "replica", "seq": 1, "lag": 3, "state": None, "heard_seconds": None, "held_bytes": None}
    ]
    assert found["following"] is found["regions"] is None and found["streams"] == []
    assert found["jobs"] == [] and found["archive"] == {"error": None}
    usage = db.disk_usage()
    assert {part: found["disk"][part] for part in usage} == usage
    assert found["disk"]["segments"] == 1 and found["disk"]["free"] > 0
    view, follow = found["signals"]
    assert (view["name"], view["kind"], view["entities"], view["events"]) == ("view", "item", 2, 3)
    assert view["measures"] == ["score", "count.1h", "count.24h", "count.all", "velocity.1h", "velocity.24h"]
    assert follow["kind"] == "user"
    assert [(top["signal"], top["by"]) for top in found["tops"]] == [
        ("view", "score"),
        ("view", "velocity.1h"),
    ]
    assert [row["key"] for row in found["tops"][0]["rows"]] == ["a", "b"]


def test_rates_are_of_what_happened_between_two_looks(db: TidalDb) -> None:
    snapshots, clock = looking_at(db)
    snapshots.sample()
    assert snapshots.take()["rate"] == {"now": None, "points": []}
    db.ingest(signal="view", entity_id=list(range(30)))
    clock.now += 2
    snapshots.sample()
    clock.now += 1
    found = snapshots.take()
    assert found["rate"] == {"now": 0.0, "points": [(1.0, 15.0)]}
    assert found["signals"][0]["rate"] == 0.0
    db.signal("view", 1)
    clock.now += 1
    assert snapshots.take()["signals"][0]["rate"] == 1.0


def test_rankings_are_those_that_are_asked_for(db: TidalDb) -> None:
    db.signal("follow", "kim")
    snapshots, _ = looking_at(db)
    [top] = snapshots.take("follow", ["count.all", "count.all"])["tops"]
    assert (top["signal"], top["by"], top["window"], top["rows"][0]["key"]) == (
        "follow",
        "count.all",
        None,
        "kim",
    )
    with pytest.raises(UnknownSignalType):
        snapshots.take("folow")
    with pytest.raises(UnknownMeasure):
        snapshots.take("follow", ["count.1h"])
    assert [top["by"] for top in snapshots.take("view", ["score.168h", "score.7d"])["tops"]] == [
        "score",
        "score",
    ]
    assert len(snapshots._rankings) == 2, "of other names for one measure, one is remembered"
    measures = measures_of(SCHEMA.signal("view"))
    assert [top["by"] for top in snapshots.take("view", measures)["tops"]] == list(measures[:4])


def test_many_who_look_at_once_cost_one_ranking(db: TidalDb, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    top = db.top

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return top(*args, **options)

    monkeypatch.setattr(db, "top", counted)
    snapshots, clock = looking_at(db)
    for _ in range(20):
        snapshots.take()
    assert calls == 2, "one for each of the two rankings"
    clock.now += 1
    snapshots.take()
    assert calls == 4


def test_looking_makes_no_job_go_on_and_tells_of_them(db: TidalDb, tmp_path: Path) -> None:
    db.ingest(signal="view", entity_id=[1, 2])
    db.flush()
    job = db.jobs.create("signals")
    assert db.jobs.wait(job.id, 60).status == "done"
    db.close()
    with tidal.open(tmp_path / "shop", clock=lambda: NOW) as again:
        snapshots, _ = looking_at(again, download="v1/export/jobs/{id}/download")
        [shown] = snapshots.take()["jobs"]
        assert again._jobs is None
        assert shown["download"] == f"v1/export/jobs/{job.id}/download"
        assert (shown["number"], shown["dataset"], shown["format"]) == (1, "signals", "jsonl")
        assert (shown["status"], shown["rows"], shown["share"]) == ("done", 2, 1.0)
        assert snapshots.take(jobs=False)["jobs"] is None
        without, _ = looking_at(again)
        assert without.take()["jobs"][0]["download"] is None


def test_in_memory_there_are_no_files() -> None:
    with tidal.open(schema=SCHEMA, clock=lambda: NOW) as db:
        db.signal("view", 1)
        snapshots, _ = looking_at(db)
        found = snapshots.take()
    assert found["store"] is None and found["disk"] is None
    assert found["followers"] == [] and found["jobs"] == []
    assert found["log"]["last_seq"] == 1


def test_a_reader_sees_what_another_process_writes(db: TidalDb, tmp_path: Path) -> None:
    db.signal("view", "a")
    db.flush()
    with tidal.open(tmp_path / "shop", read_only=True, clock="event") as reader:
        snapshots, clock = looking_at(reader)
        snapshots.take()
        db.ingest(signal="view", entity_id=["b"] * 10)
        db.flush()
        reader.refresh()
        clock.now += 1
        found = snapshots.take()
    assert found["read_only"] and found["log"]["last_seq"] == 11 and found["rate"]["now"] == 10.0
    assert found["checkpoint"]["age_seconds"] is None, "another process writes them"
    assert found["tops"][0]["rows"][0]["key"] == "b"


def test_errors_are_told_without_the_names_of_files(db: TidalDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db._upkeep, "checkpoint_error", OSError("/srv/secret/shop/checkpoints/x: no"))
    found = looking_at(db)[0].take()
    assert found["checkpoint"]["error"] == "OSError: (a file): no"
    assert not found["health"]["ok"]
    assert [why["code"] for why in found["health"]["reasons"]] == ["checkpoint_failed"]
    assert "secret" not in json.dumps(found)


def test_a_folder_that_cannot_be_read_leaves_its_part_out(
    db: TidalDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError(5, "no")

    for owner, name in ((db, "disk_usage"), (db.marks, "all"), (db, "_known_jobs")):
        monkeypatch.setattr(owner, name, refuse)
    found = looking_at(db)[0].take()
    assert found["disk"] is found["followers"] is found["jobs"] is None
    assert found["log"]["last_seq"] == 0


def test_a_closed_database_raises_and_samples_nothing(db: TidalDb) -> None:
    snapshots, _ = looking_at(db)
    db.close()
    snapshots.sample()
    with pytest.raises(StoreClosed):
        snapshots.take()
