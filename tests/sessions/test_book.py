"""db.session() and db.sessions: what may be done in a session, what is refused, and what is known of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.schema.events import NOTE_BYTES_MAX
from tidal.sessions.limits import TokenBucket
from tidal.testing import ManualClock

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h",))
    .signal("reward", half_life="30d", signed=True)
    .build()
)
SECOND = 10**9


def memory(clock: ManualClock | None = None, **limits: Any) -> tidal.TidalDb:
    return tidal.open(schema=SCHEMA, clock=clock or ManualClock(), sessions=tidal.SessionLimits(**limits))


def test_a_session_from_its_opening_to_its_end() -> None:
    clock = ManualClock()
    start = clock.now
    with memory(clock) as db:
        with db.session(user_id="ann", agent="ranker-3", policy="v1") as session:
            assert (session.seq, session.user_id, session.agent, session.policy) == (
                1, db.users.id_of("ann"), "ranker-3", "v1"
            )  # fmt: skip
            clock.advance("1s")
            assert session.signal("view", "post:1", 2.0) == 2
            assert session.reward("post:1", -0.5) == 3
            assert session.hint(chosen="post:1", rejected="post:2", prompt="why?") == 4
            assert session.annotate("post:3", {"grade": [1, None]}) == 5
            assert session.annotate("post:3", "wrong") == 6
            assert session.seq == 6
            clock.advance("1s")
        summary = session.summary()
        assert summary == db.sessions.get(session.id)
        assert summary.to_dict() == {
            "id": session.id, "user_id": session.user_id, "agent": "ranker-3", "policy": "v1",
            "opened_at": start, "last_at": start + 2 * SECOND, "closed_at": start + 2 * SECOND,
            "reason": "closed", "seq": 7, "signals": {"view": 1, "reward": 1},
            "weights": {"view": 2.0, "reward": -0.5}, "hints": 1, "annotations": 2,
        }  # fmt: skip
        assert not summary.is_open
        assert (db.count("view", "post:1", "1h"), db.last_seq) == (1, 7)
        assert [db.key_of(db.items.id_of(key)) for key in ("post:2", "post:3")] == ["post:2", "post:3"]


def test_the_block_s_error_is_not_hidden_and_the_session_closed() -> None:
    db = memory()
    with pytest.raises(RuntimeError, match="of the block"), db.session(user_id=1, agent="a") as session:
        raise RuntimeError("of the block")
    assert session.summary().reason == "closed"
    with pytest.raises(RuntimeError) as caught, db.session(user_id=1, agent="a"):
        db.close()
        raise RuntimeError("of the block")
    assert "closing the session failed too" in caught.value.__notes__[0]
    with memory() as other, pytest.raises(tidal.StoreClosed), other.session(user_id=1, agent="a"):
        other.close()


def test_closed_and_unknown_sessions_take_nothing() -> None:
    with memory() as db:
        session = db.session(user_id=1, agent="a")
        assert db.sessions.close(session.id).seq == 2
        assert db.sessions.close(session.id).seq == 2
        session.close()
        before = db.last_seq
        for write in (
            lambda: session.reward(1),
            lambda: session.hint(chosen=1, rejected=2),
            lambda: session.annotate(1, "x"),
            lambda: db.sessions.resume(session.id),
        ):
            with pytest.raises(tidal.SessionClosed, match="was closed; open another"):
                write()
        for ask in (db.sessions.resume, db.sessions.get, db.sessions.close):
            with pytest.raises(tidal.UnknownSession, match="no session 4711 is known"):
                ask(4711)
        assert db.last_seq == before


def test_events_of_others_count_while_the_session_is_open() -> None:
    with memory() as db:
        session = db.session(user_id=1, agent="a", session_id=77)
        db.signal("view", 5, session_id=77)
        db.ingest(signal="view", entity_id=[1, 2, 3], weight=[0.5, 1.0, 2.0], session_id=[77, 78, 77])
        db.signal("view", 5)
        assert (session.seq, session.summary().signals, session.summary().weights) == (
            4, {"view": 3}, {"view": 3.5}
        )  # fmt: skip
        session.close()
        db.signal("view", 5, session_id=77)
        db.signal("view", 5, session_id=78)
        assert session.seq == 5
        assert db.count("view", 5, "all") == 4


def test_an_id_is_used_once() -> None:
    with memory(closed=0) as db:
        first = db.session(user_id=1, agent="a", session_id="chat:1")
        with pytest.raises(tidal.InvalidOption, match="there is such a session"):
            db.session(user_id=2, agent="a", session_id="chat:1")
        assert db.sessions.resume("chat:1").id == first.id
        assert db.sessions.close("chat:1").id == first.id
        with pytest.raises(tidal.UnknownSession):  # none is remembered
            first.summary()
        assert db.session(user_id=2, agent="a", session_id="chat:1").id == first.id
        assert len({db.session(user_id=1, agent="a").id for _ in range(50)}) == 50
        assert len(db.sessions) == 51


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"user_id": -1}, tidal.InvalidEvent, "user_id"),
    ({"user_id": 1.5}, tidal.InvalidEvent, "user_id"),
    ({"agent": 7}, tidal.InvalidEvent, "agent and policy are text"),
    ({"policy": {}}, tidal.InvalidEvent, "agent and policy are text"),
    ({"agent": "a" * NOTE_BYTES_MAX}, tidal.InvalidEvent, "the most is"),
    ({"session_id": 2**64}, tidal.InvalidEvent, "session_id"),
    ({"timestamp": "now"}, tidal.InvalidEvent, "timestamp"),
    ({"timestamp": 2**62 - 1}, tidal.InvalidEvent, "max_future_skew"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_a_session_that_cannot_be_is_not_opened(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with memory() as db:
        with pytest.raises(error, match=words):
            db.session(**({"user_id": 1, "agent": "a"} | change))
        assert (db.last_seq, len(db.sessions), db.sessions.summaries()) == (0, 0, [])


def test_bad_operations_change_nothing() -> None:
    with memory() as db:
        session = db.session(user_id=1, agent="a")
        bad: list[tuple[Any, type[Exception]]] = [
            (lambda: session.signal("viwe", 1), tidal.UnknownSignalType),
            (lambda: session.signal("view", 1, -1.0), tidal.InvalidEvent),
            (lambda: session.reward(1, float("nan")), tidal.InvalidEvent),
            (lambda: session.reward(1, signal="thanks"), tidal.UnknownSignalType),
            (lambda: session.hint(chosen=1, rejected=1), tidal.InvalidEvent),
            (lambda: session.hint(chosen=1, rejected=2, strength=float("inf")), tidal.InvalidEvent),
            (lambda: session.hint(chosen=1, rejected=2, strength="much"), tidal.InvalidEvent),  # type: ignore[arg-type]
            (lambda: session.hint(chosen=1, rejected=2, prompt=b"?"), tidal.InvalidEvent),  # type: ignore[arg-type]
            (lambda: session.hint(chosen=1, rejected=2, kind="dog"), tidal.InvalidEvent),
            (lambda: session.annotate(1, 5), tidal.InvalidEvent),  # type: ignore[arg-type]
            (lambda: session.annotate(1, {"a": {1, 2}}), tidal.InvalidEvent),
            (lambda: session.annotate(1, "x" * NOTE_BYTES_MAX), tidal.InvalidEvent),
            (lambda: session.annotate(-1, "x"), tidal.InvalidEvent),
            (lambda: db.sessions.summaries(since="today"), tidal.InvalidEvent),
        ]  # fmt: skip
        for write, error in bad:
            with pytest.raises(error):
                write()
        assert (session.seq, db.last_seq) == (1, 1)


def test_idle_sessions_end() -> None:
    clock = ManualClock()
    with memory(clock, ttl="1m") as db:
        idle, busy, late = (db.session(user_id=1, agent="a") for _ in range(3))
        clock.advance("50s")
        busy.reward(1)
        clock.advance("10s")
        assert db.sessions.sweep() == ()  # not before the time is over
        clock.advance(1)
        with pytest.raises(tidal.SessionClosed, match="nothing happened in it for 1m"):
            late.reward(1)
        assert db.sessions.sweep() == (idle.id,)
        assert [(it.reason, it.closed_at) for it in db.sessions.summaries()].count(
            ("expired", clock.now)
        ) == 2
        with pytest.raises(tidal.SessionClosed, match="expired"):
            idle.reward(1)
        busy.reward(1)
        clock.advance("2m")
        fresh = db.session(user_id=1, agent="a")  # opening sweeps
        assert (busy.summary().reason, len(db.sessions), fresh.summary().is_open) == ("expired", 1, True)


def test_without_a_time_to_live_nothing_expires() -> None:
    clock = ManualClock()
    with memory(clock, ttl=None) as db:
        session = db.session(user_id=1, agent="a")
        clock.advance("365d")
        assert db.sessions.sweep() == ()
        assert session.reward(1) == 2


def test_so_many_are_open_and_no_more() -> None:
    clock = ManualClock()
    with memory(clock, open=2, ttl="1h") as db:
        first = db.session(user_id=1, agent="a")
        db.session(user_id=1, agent="a")
        clock.advance("1m")
        with pytest.raises(tidal.LimitExceeded, match=r"2 sessions are open; .*SessionLimits\(open=...\)"):
            db.session(user_id=1, agent="a")
        first.close()
        db.session(user_id=1, agent="a")
        clock.advance("2h")
        db.session(user_id=1, agent="a")
        assert len(db.sessions) == 1


def test_a_rate_of_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    with memory(rate=2, burst=3) as db:
        monkeypatch.setattr(db.sessions._host, "monotonic", lambda: seconds)
        session, other = db.session(user_id=1, agent="ann"), db.session(user_id=1, agent="bob")
        session.reward(1)
        session.hint(chosen=1, rejected=2)
        session.annotate(1, "x")
        before = db.last_seq
        with pytest.raises(tidal.RateLimited) as caught:
            session.reward(1)
        assert (caught.value.limit, caught.value.retry_after) == (2, 0.5)
        assert (caught.value.agent, caught.value.session_id) == ("ann", session.id)
        assert "agent 'ann'" in str(caught.value) and "try again in 0.500 s" in str(caught.value)
        assert isinstance(caught.value, tidal.LimitExceeded)
        assert db.last_seq == before
        other.reward(1)  # each has its own
        db.signal("reward", 1, session_id=session.id)  # and is no limit of the store
        seconds = 0.25
        with pytest.raises(tidal.RateLimited) as caught:
            session.reward(1)
        assert caught.value.retry_after == pytest.approx(0.25)
        seconds = 0.5
        db.sessions.resume(session.id).reward(1)
        with pytest.raises(tidal.RateLimited):
            session.reward(1)
        session.close()  # closing is always possible


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    now = 0.0
    bucket = TokenBucket(1.0, 2, lambda: now)
    now = 100.0
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 1.0]
    now = 99.0  # a clock that goes back gives nothing, and takes nothing
    assert bucket.take() == 1.0
    now = 99.5
    assert bucket.take() == pytest.approx(0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0}, {"rate": -1.0}, {"rate": float("inf")}, {"rate": True}, {"rate": "5"}, {"burst": 0},
        {"burst": 1.5}, {"open": 0}, {"closed": -1}, {"ttl": "soon"}, {"retention": 5},
    ],
)  # fmt: skip
def test_limits_that_cannot_be_meant(options: dict[str, Any]) -> None:
    with pytest.raises((tidal.InvalidOption, tidal.InvalidDuration)):
        tidal.SessionLimits(**options)
    with pytest.raises(tidal.InvalidOption, match="SessionLimits"):
        tidal.open(schema=SCHEMA, sessions=options)  # type: ignore[arg-type]


def test_operations_are_never_duplicates() -> None:
    with tidal.open(schema=SCHEMA, clock=ManualClock(), dedup="content") as db:
        session = db.session(user_id=1, agent="a")
        assert [session.annotate(1, "x") for _ in range(2)] == [2, 3]
        assert [session.reward(1) for _ in range(2)] == [4, 0]
        assert session.seq == 4
    with tidal.open(schema=SCHEMA, clock=ManualClock(), dedup="event_id") as db:
        session = db.session(user_id=1, agent="a")
        assert [session.reward(1, event_id=9) for _ in range(2)] == [2, 0]
        assert [session.annotate(1, "x") for _ in range(2)] == [3, 4]


def test_limits_of_entities_do_not_count_operations() -> None:
    with tidal.open(schema=SCHEMA, clock=ManualClock(), limits=tidal.Limits(entities=1)) as db:
        session = db.session(user_id=1, agent="a")
        session.reward(1)
        session.annotate(2, "x")
        with pytest.raises(tidal.LimitExceeded):
            session.reward(2)
        assert session.seq == 3


def test_threads_write_to_one_session_and_it_closes_once(tmp_path: Path) -> None:
    """Whatever they do, an operation is either in the session or refused; and the log says the same."""
    with tidal.open(tmp_path / "s", schema=SCHEMA, sync="os") as db:
        session = db.session(user_id=1, agent="a")
        accepted: list[int] = []
        begun = threading.Barrier(5)

        def write() -> None:
            begun.wait()
            try:
                while True:
                    accepted.append(session.reward(1))
            except tidal.SessionClosed:
                pass

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        while len(accepted) < 40:
            db.signal("view", 1)
        session.close()
        for thread in threads:
            thread.join()
        summary = session.summary()
        assert summary.seq == len(accepted) + 2
        assert db.count("reward", 1, "all") == len(accepted) == summary.signals["reward"]
    with tidal.open(tmp_path / "s") as db:
        assert db.sessions.summaries() == [summary]
