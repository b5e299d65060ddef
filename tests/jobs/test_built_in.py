"""The dataset of signals: filters, where it ends, and how often it looks whether it is to end."""

from __future__ import annotations

from typing import Any

import pytest
from jobkit import done, rows_of

import tidal
from tidal.errors import ExportCancelled
from tidal.jobs.built_in import signals
from tidal.jobs.source import Context
from tidal.testing import ManualClock


def test_filters_are_those_of_exports(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    now = tidal_clock()
    for fields in (
        {"user_id": 3},
        {"user_id": "ada", "signal_types": ["like"]},
        {"entity_id": 2, "since": now - 50 * 10**9},
        {"until": now - 200 * 10**9},
        {"after_seq": 290, "until_seq": 302},
    ):
        plain = db.export_signals(tidal.ExportRequest(all=True, **fields)).to_list()
        rows = rows_of(done(db, "signals", **fields))
        assert 0 < len(rows) < 303
        assert [tuple(row.values())[:6] for row in rows] == [
            (it.entity_id, it.signal_type, it.weight, it.timestamp_ns, it.user_id, it.session_id)
            for it in plain
        ]


def test_it_goes_on_from_a_manifest(db: tidal.TidalDb) -> None:
    """What is new since a job: its last sequence is the next one's ``after_seq``."""
    first = done(db, "signals")
    assert first.request.until_seq is not None
    db.signal("view", 99)
    assert [row["entity_id"] for row in rows_of(done(db, "signals", after_seq=first.request.until_seq))] == [
        99
    ]


def test_keys(db: tidal.TidalDb) -> None:
    rows = rows_of(done(db, "signals", signal_types=["like"], keys=True))
    assert [(row["entity_key"], row["user_key"]) for row in rows] == [
        ("lamp", "ada"), ("rug", "ada"), ("lamp", "bob"),
    ]  # fmt: skip


@pytest.mark.parametrize("stop_at", [0, 2])
def test_it_looks_before_each_batch_of_the_log_also_where_nothing_matches(
    db: tidal.TidalDb, stop_at: int
) -> None:
    for n in range(5):
        db.ingest(signal="view", entity_id=[n, n + 1])
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks > stop_at > 0:
            raise ExportCancelled("enough")

    context = Context(db, db._source, db._names.names, check)
    request = tidal.JobRequest("signals", user_id=10**6).checked(db.schema)

    def rows() -> list[dict[str, Any]]:
        return list(signals(context, request).table.rows())

    if stop_at:
        with pytest.raises(ExportCancelled):
            rows()
        assert looks == stop_at + 1
    else:
        assert rows() == []
        assert looks >= 7
