"""The datasets of scores and windows: what the reads of the database answer, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from jobkit import done, rows_of

import tidal
from tidal.jobs import measures
from tidal.schema.spec import ALL
from tidal.testing import ManualClock


def asked(db: tidal.TidalDb, row: dict[str, Any]) -> Any:
    """What the database answers to what a row says."""
    name, entity, at = row["signal_type"], row["entity_id"], row["at_ns"]
    if "half_life" in row:
        return db.score(name, entity, half_life=row["half_life"], at=at)
    kept = name == "view" and row["window"] != ALL
    velocity = db.velocity(name, entity, row["window"], at=at) if kept else None
    return db.count(name, entity, row["window"], at=at), velocity


@pytest.mark.parametrize("rows_of_a_batch", [3, measures.ROWS])
def test_every_row_is_what_a_read_answers(
    db: tidal.TidalDb, tidal_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, rows_of_a_batch: int
) -> None:
    monkeypatch.setattr(measures, "ROWS", rows_of_a_batch)
    tidal_clock.advance("90m")
    scores, windows = rows_of(done(db, "scores")), rows_of(done(db, "windows"))
    assert len({(row["signal_type"], row["entity_id"], row["half_life"]) for row in scores}) == len(scores)
    assert len(scores) == 7 + 2 * 2 and len(windows) == 7 * 4 + 2 * 3
    for row in scores:
        assert row["score"] == asked(db, row)
    for row in windows:
        assert (row["count"], row["velocity"]) == asked(db, row)
    last = {row["entity_id"]: row["last_time_ns"] for row in scores if row["signal_type"] == "view"}
    table = db.read("view")
    assert last == dict(zip(table["entity_id"].tolist(), table["last_time"].tolist(), strict=True))
    assert {row["kind"] for row in scores} == {"item"}


def test_filters(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    one = rows_of(done(db, "scores", entity_id="lamp"))
    assert {row["entity_id"] for row in one} == {db.items.id_of("lamp")}
    assert {row["signal_type"] for row in rows_of(done(db, "windows", signal_types=["like"]))} == {"like"}
    newest = tidal_clock()
    late = rows_of(done(db, "scores", since=newest))
    assert len(late) == 1 + 2 * 2  # of the views, one is of now
    early = rows_of(done(db, "scores", until=newest))
    assert len(late) + len(early) == len(rows_of(done(db, "scores")))


def test_the_time_and_keys(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    later = tidal_clock() + 7 * 86400 * 10**9
    rows = rows_of(done(db, "scores", signal_types=["view"], at=later, keys=True))
    assert {row["at_ns"] for row in rows} == {later}
    assert rows[0]["score"] == db.score("view", rows[0]["entity_id"], at=later)
    assert {row["entity_key"] for row in rows} == {None}
    keys = {row["entity_key"] for row in rows_of(done(db, "scores", signal_types=["like"], keys=True))}
    assert keys == {"lamp", "rug"}


def test_a_store_without_events_has_the_columns(reopen: Any) -> None:
    job = done(reopen(), "windows", format="csv")
    assert job.path is not None and job.rows == 0
    assert job.path.read_text().split() == [
        "entity_id,kind,signal_type,window,count,velocity,last_time_ns,at_ns"
    ]
