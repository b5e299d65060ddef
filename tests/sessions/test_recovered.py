"""Sessions live as the log does: any calls, crashes, checkpoints and archives leave what a slow twin says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archivekit import QuickFs
from faultkit.store import open_store
from hypothesis import given, settings
from hypothesis import strategies as st
from killing import kill_while_it_works

import tidal
from tidal.inspect import dump
from tidal.schema.events import TIME_MIN_NS
from tidal.testing import ManualClock

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h",))
    .signal("reward", half_life="30d", signed=True)
    .build()
)
TTL = 60 * 10**9
LIMITS = tidal.SessionLimits(ttl="1m", closed=2, retention="3m")


class Twin:
    """What sessions are, by their definition: lists of what was done in each."""

    def __init__(self) -> None:
        self.open: dict[int, list[Any]] = {}
        self.closed: dict[int, list[Any]] = {}
        self.clock = TIME_MIN_NS

    def opened(self, session: int, time: int) -> None:
        self.open[session] = [("open", time)]
        self._forget(time)

    def noted(self, session: int, what: str, time: int, weight: float = 0.0) -> None:
        if session in self.open:
            self.open[session].append((what, time, weight))

    def ended(self, session: int, time: int) -> None:
        self.noted(session, "close", time)
        self.closed[session] = self.open.pop(session)
        self._forget(time)

    def over(self, session: int, now: int) -> bool:
        return max(step[1] for step in self.open[session]) < now - TTL

    def sweep(self, now: int) -> list[int]:
        over = [session for session in self.open if self.over(session, now)]
        for session in over:
            self.ended(session, now)
        return over

    def _forget(self, time: int) -> None:
        self.clock = max(self.clock, time)
        while self.closed:
            first, steps = next(iter(self.closed.items()))
            if len(self.closed) <= 2 and steps[-1][1] >= self.clock - 3 * TTL:
                break
            del self.closed[first]

    def facts(self) -> dict[int, Any]:
        return {session: _facts(steps) for session, steps in (self.open | self.closed).items()}


def _facts(steps: list[Any]) -> Any:
    names = [step[0] for step in steps]
    weights: dict[str, float] = {}
    for name, _, weight in steps[1:]:
        if name in SCHEMA.names:
            weights[name] = weights.get(name, 0.0) + weight
    counts = {name: names.count(name) for name in weights}
    return (
        steps[0][1], max(step[1] for step in steps), len(steps), counts, weights, names.count("hint"),
        names.count("annotation"), steps[-1][1] if names[-1] == "close" else None,
    )  # fmt: skip


def facts_of(db: tidal.TidalDb) -> dict[int, Any]:
    return {
        it.id: (it.opened_at, it.last_at, it.seq, dict(it.signals), dict(it.weights), it.hints,
                it.annotations, it.closed_at)
        for it in db.sessions.summaries()
    }  # fmt: skip


calls = st.one_of(
    st.tuples(st.just("open"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["close", "hint", "annotation", "reward"]), st.integers(1, 3)),
    st.tuples(st.just("view"), st.integers(1, 4)),
    st.tuples(st.just("views"), st.lists(st.integers(1, 4), max_size=8)),
    st.tuples(st.just("advance"), st.integers(1, 80)),
    st.tuples(st.sampled_from(["sweep", "checkpoint", "archive", "crash", "reopen", "look"]), st.none()),
)


class Run:
    """A store and its twin, and what is done to both."""

    def __init__(self, folder: Path, sync: str) -> None:
        self.folder, self.sync, self.stores = folder, sync, 0
        self.clock, self.twin = ManualClock(), Twin()
        self.db = self.open_db()

    def open_db(self, **options: Any) -> tidal.TidalDb:
        path = self.folder / str(self.stores)
        return open_store(
            path, schema=None if options else SCHEMA, wiring={"segment_bytes": 600}, sync=self.sync,
            clock=self.clock, sessions=LIMITS, file_system=QuickFs(), **options,
        )  # fmt: skip

    def do(self, what: str, given: Any) -> None:
        method: Callable[[Any], None] = getattr(self, f"do_{what}", lambda given: self.write(what, given))
        method(given)
        assert facts_of(self.db) == self.twin.facts()
        assert len(self.db.sessions) == len(self.twin.open)

    def do_open(self, session: int) -> None:
        self.db.sessions.sweep()
        self.twin.sweep(self.clock.now)
        if session in self.twin.open or session in self.twin.closed:
            with pytest.raises(tidal.InvalidOption):
                self.db.session(user_id=7, agent="a", session_id=session)
        else:
            self.db.session(user_id=7, agent="a", session_id=session)
            self.twin.opened(session, self.clock.now)

    def write(self, what: str, session: int) -> None:
        now = self.clock.now
        if session in self.twin.closed:
            with pytest.raises(tidal.SessionClosed):
                self.db.sessions.resume(session)
        elif session not in self.twin.open:
            with pytest.raises(tidal.UnknownSession):
                self.db.sessions.resume(session)
        elif what == "close":
            self.db.sessions.close(session)
            self.twin.ended(session, now)
        else:
            handle = self.db.sessions.resume(session)
            write = {
                "hint": lambda: handle.hint(chosen="a", rejected="b"),
                "annotation": lambda: handle.annotate(5, "x"),
                "reward": lambda: handle.reward("a", -0.25),
            }[what]
            if self.twin.over(session, now):
                with pytest.raises(tidal.SessionClosed):
                    write()
                self.twin.ended(session, now)
            else:
                write()
                self.twin.noted(session, what, now, -0.25)

    def do_view(self, session: int) -> None:
        self.db.signal("view", 3, 0.5, session_id=session)
        self.twin.noted(session, "view", self.clock.now, 0.5)

    def do_views(self, sessions: list[int]) -> None:
        self.db.ingest(signal="view", entity_id=[1] * len(sessions), session_id=sessions)
        for session in sessions:
            self.twin.noted(session, "view", self.clock.now, 1.0)

    def do_advance(self, seconds: int) -> None:
        self.clock.advance(seconds * 10**9)

    def do_sweep(self, _: None) -> None:
        assert list(self.db.sessions.sweep()) == self.twin.sweep(self.clock.now)

    def do_checkpoint(self, _: None) -> None:
        self.db.checkpoint()

    def do_archive(self, _: None) -> None:
        self.db.checkpoint()
        self.db.archive()

    def do_crash(self, _: None) -> None:
        """What another process would find, had this one been killed."""
        if self.sync.startswith("buffered"):
            self.db.flush()  # what waits in memory a kill takes
        before = self.folder / str(self.stores)
        self.stores += 1
        shutil.copytree(before, self.folder / str(self.stores))
        self.db.close()
        self.db = self.open_db()

    def do_reopen(self, _: None) -> None:
        self.db.close()
        self.db = self.open_db()

    def do_look(self, _: None) -> None:
        self.db.flush()
        with self.open_db(read_only=True) as reader:
            assert facts_of(reader) == self.twin.facts()


@settings(max_examples=15)
@given(st.lists(calls, min_size=10, max_size=30), st.sampled_from(["os", "buffered:50ms"]))
def test_any_calls_and_crashes(tmp_path_factory: pytest.TempPathFactory, steps: list[Any], sync: str) -> None:
    run = Run(tmp_path_factory.mktemp("sessions"), sync)
    try:
        for what, given in steps:
            run.do(what, given)
        run.do("crash", None)
        run.do("archive", None)
        run.do("crash", None)
        assert facts_of(run.db) == run.twin.facts()
    finally:
        run.db.close()


@pytest.mark.parametrize("sync", ["group", "os", "buffered:1h"])
def test_single_events_count_under_every_policy(tmp_path: Path, sync: str) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, sync=sync) as db:
        db.signal("view", 1, session_id=5)
        session = db.session(user_id=7, agent="a", session_id=5)
        for weight in (0.5, 1.5):
            db.signal("view", 1, weight, session_id=5)
        db.signal("view", 1, session_id=6)
        db.signal("view", 1)
        assert (session.seq, session.summary().weights) == (3, {"view": 2.0})
        summary = session.summary()
    with tidal.open(tmp_path / "s") as db:
        assert db.sessions.summaries() == [summary]


WORKER = """
import sys
sys.path[:0] = sys.argv[2:]
import tidal
from test_recovered import SCHEMA
db = tidal.open(sys.argv[1], schema=SCHEMA, sync="os", checkpoint_bytes=3000)
known = db.sessions.summaries()
resumed = known and known[-1].is_open
session = db.sessions.resume(known[-1].id) if resumed else db.session(user_id=7, agent="a")
while True:
    while (done := session.seq) < 41:
        session.reward(1) if done % 2 else session.hint(chosen=1, rejected=2)
    print(db.last_seq, flush=True)
    session.close()
    session = db.session(user_id=7, agent="a")
"""


def test_a_killed_process_leaves_its_sessions(tmp_path: Path) -> None:
    """All of the log is theirs, one after the other: a session that was resumed is as if nothing had been."""
    store, here = tmp_path / "s", Path(__file__).parent
    for seconds in (0.0, 0.2):
        acknowledged = kill_while_it_works(WORKER, store, here, here.parent / "helpers", seconds=seconds)
        with tidal.open(store, sync="os") as db:
            found = db.sessions.summaries()
            assert sum(it.seq for it in found) == db.last_seq >= acknowledged
            assert all((it.seq, it.signals, it.hints) == (42, {"reward": 20}, 20) for it in found[:-1])
            assert db.count("reward", 1, "all") == sum(it.signals.get("reward", 0) for it in found)


def test_a_reader_sees_sessions_grow(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        session = db.session(user_id=7, agent="a")
        with tidal.open(tmp_path / "s", read_only=True) as reader:
            assert reader.sessions.get(session.id) == session.summary()
            session.reward(1)
            session.close()
            assert reader.refresh() == 2
            assert reader.sessions.get(session.id) == session.summary()
            for write in (
                lambda: reader.session(user_id=1, agent="a"),
                lambda: reader.sessions.close(session.id),
                reader.sessions.sweep,
            ):
                with pytest.raises(tidal.ReadOnly):
                    write()
        db.close()
        for ask in (db.sessions.summaries, lambda: db.sessions.get(1), lambda: session.seq):
            with pytest.raises(tidal.StoreClosed):
                ask()


def test_salvage_and_rebuild_carry_sessions_over(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "a", schema=SCHEMA) as db:
        with db.session(user_id="ann", agent="a") as session:
            session.reward("x")
            session.signal("view", "x")
            session.hint(chosen="x", rejected="only in a hint")
        want = db.sessions.summaries()
    tidal.salvage(tmp_path / "a", tmp_path / "salvaged")
    tidal.rebuild(tmp_path / "a", tmp_path / "rebuilt", schema=SCHEMA)
    only_rewards = tidal.SchemaBuilder().signal("reward", half_life="1d", signed=True).build()
    tidal.rebuild(tmp_path / "a", tmp_path / "dropped", schema=only_rewards, drop=["view"])
    for name in ("salvaged", "rebuilt"):
        with tidal.open(tmp_path / name) as db:
            assert db.sessions.summaries() == want
            assert db.key_of(db.items.id_of("only in a hint")) == "only in a hint"
    with tidal.open(tmp_path / "dropped") as db:
        (summary,) = db.sessions.summaries()
        assert (summary.signals, summary.hints, summary.seq) == ({"reward": 1}, 1, 4)


def test_a_store_without_sessions_has_no_trace_of_them(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        db.signal("view", 1, session_id=5)
    (checkpoint,) = (tmp_path / "s" / "checkpoints").iterdir()
    sections = [row[0] for table in dump(checkpoint).tables for row in table.rows]
    assert sections and "sessions" not in sections


def test_an_operation_that_this_tidal_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tidal.open(tmp_path / "s", schema=SCHEMA, sync="os")
    with monkeypatch.context() as patch:  # as a later one may write it
        patch.setattr("tidal.sessions.writing.encode", lambda operation: b'{"op":"dance"}')
        patch.setattr("tidal.sessions.state.operations_of", lambda batch: iter(()))
        db.session(user_id=1, agent="a")
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    db.close()
    with pytest.raises(tidal.FormatTooNew, match="not an operation of a session"):
        tidal.open(tmp_path / "copy")
