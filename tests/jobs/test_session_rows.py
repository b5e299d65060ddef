"""The dataset of sessions."""

from __future__ import annotations

from jobkit import done, rows_of

import tidal
from tidal.testing import ManualClock


def test_sessions(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    assert rows_of(done(db, "sessions")) == []
    with db.session(user_id="ada", agent="shop") as closed:
        closed.signal("view", 1)
    tidal_clock.advance("1h")
    opened = db.session(user_id="bob", agent="shop")
    rows = rows_of(done(db, "sessions"))
    summaries = db.sessions.summaries()
    assert [row["session_id"] for row in rows] == [closed.id, opened.id] == [it.id for it in summaries]
    for row, summary in zip(rows, summaries, strict=True):
        assert row["signals"] == dict(summary.signals)
        assert (row["user_id"], row["agent"], row["seq"]) == (summary.user_id, "shop", summary.seq)
        assert (row["opened_at_ns"], row["closed_at_ns"]) == (summary.opened_at, summary.closed_at)


def test_filters(db: tidal.TidalDb, tidal_clock: ManualClock) -> None:
    first = db.session(user_id="ada", agent="shop")
    begun = tidal_clock()
    tidal_clock.advance("1h")
    second = db.session(user_id="bob", agent="shop")

    def found(**filters: object) -> list[int]:
        return [row["session_id"] for row in rows_of(done(db, "sessions", **filters))]

    assert found(user_id="ada") == [first.id] == found(session_id=first.id)
    assert found(since=begun + 1) == [second.id]
    assert found(until=begun + 1) == [first.id]
    assert found(since=begun, until=begun) == []
