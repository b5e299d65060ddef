"""Operations of sessions from elsewhere: each is applied once, in order, over losses, doubles, restarts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.errors import FormatError
from tidal.opening.arguments import checked_settings
from tidal.opening.options import StoreOptions, Wiring
from tidal.opening.stored import open_store
from tidal.regions import SessionIntake, SessionOp, session_operation
from tidal.store import StorePaths
from tidal.testing.disk import FileEngine, MemoryDisk, crash_states
from tidal.testing.disk.inline import inline_keeper
from tidal.wal import parse_sync

NS = 10**9
SCHEMA = tidal.SchemaBuilder().signal("view", half_life="1h", windows=("1h",)).build()
T = 1_700_000_000 * NS
OPERATIONS = (
    session_operation("open", user_id="ann", agent="a", policy="p", timestamp=T),
    session_operation("signal", signal="view", entity_id="post:1", weight=0.5, timestamp=T + NS),
    session_operation("hint", chosen="post:1", rejected="post:2", strength=2.0, timestamp=T + 2 * NS),
    session_operation("annotate", entity_id=7, note={"why": "old"}, timestamp=T + 3 * NS),
    session_operation("signal", signal="view", entity_id="post:1", weight=0.5, timestamp=T + 4 * NS),
    session_operation("close", timestamp=T + 5 * NS),
)


def ops(session_id: int = 7) -> list[SessionOp]:
    return [SessionOp(session_id, seq, data) for seq, data in enumerate(OPERATIONS, 1)]


def open_at(folder: Path, **options: Any) -> tidal.TidalDb:
    return tidal.open(folder, schema=SCHEMA, clock="event", max_future_skew=None, **options)


def test_what_is_taken_in_is_as_if_it_had_been_done_here(tmp_path: Path) -> None:
    with open_at(tmp_path / "a") as db, open_at(tmp_path / "b") as other:
        intake = SessionIntake(db)
        assert [intake.receive(op) for op in ops()] == [1, 2, 3, 4, 5, 6]
        session = other.session(user_id="ann", agent="a", policy="p", session_id=7, timestamp=T)
        session.signal("view", "post:1", 0.5, timestamp=T + NS)
        session.hint(chosen="post:1", rejected="post:2", strength=2.0, timestamp=T + 2 * NS)
        session.annotate(7, {"why": "old"}, timestamp=T + 3 * NS)
        session.signal("view", "post:1", 0.5, timestamp=T + 4 * NS)
        session.close(timestamp=T + 5 * NS)
        assert db.sessions.get(7) == other.sessions.get(7)
        assert db._ledger.state_digest() == other._ledger.state_digest()


@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_and_over_restarts_each_is_applied_once(tmp_path: Path, seed: int) -> None:
    """The sender sends all that is above the marks it was told, again and again, until all is there."""
    rng = random.Random(seed)
    sessions = {session_id: ops(session_id) for session_id in (7, 8, 9)}
    marks = dict.fromkeys(sessions, 0)
    while any(mark < len(OPERATIONS) for mark in marks.values()):
        with open_at(tmp_path / "s", sync=rng.choice(["group", "os"])) as db:
            intake = SessionIntake(db)
            for session_id, mark in marks.items():
                known = db.sessions.find(session_id)
                assert (0 if known is None else known.seq) >= mark
            sent = [op for at, all_ in sessions.items() for op in all_ if op.seq > marks[at]]
            for op in rng.choices(sent, k=rng.randrange(12)):
                marks[op.session_id] = max(marks[op.session_id], intake.receive(op))
                assert db.durable_seq == db.last_seq
    with open_at(tmp_path / "s") as db:
        assert db.last_seq == 3 * len(OPERATIONS)
        assert db.count("view", "post:1", "all") == 6
        assert {db.sessions.get(at).reason for at in sessions} == {"closed"}


def test_what_comes_before_its_turn_waits_and_is_asked_for(tmp_path: Path) -> None:
    first, second, third, *_ = ops()
    with open_at(tmp_path / "s") as db:
        intake = SessionIntake(db)
        assert intake.receive(third) == 0
        assert (intake.missing(7), db.last_seq) == (1, 0)
        assert intake.receive(first) == 1
        assert intake.missing(7) == 2
        assert intake.receive(second) == 3
        assert intake.missing(7) is None
        assert intake.receive(third) == 3


def test_a_session_that_is_closed_takes_no_more_and_none_that_is_forgotten_is_opened_again(
    tmp_path: Path,
) -> None:
    limits = tidal.SessionLimits(closed=0)
    with open_at(tmp_path / "s", sessions=limits) as db:
        intake = SessionIntake(db)
        for op in ops():
            intake.receive(op)
        assert db.sessions.find(7) is None
        assert intake.receive(ops()[0]) == 1
    with open_at(tmp_path / "s", sessions=limits) as db:
        assert [SessionIntake(db).receive(op) for op in ops()] == [1, 2, 3, 4, 5, 6]
        assert db.last_seq == len(OPERATIONS)
    with open_at(tmp_path / "t") as db:
        intake = SessionIntake(db)
        for op in ops():
            intake.receive(op)
        with pytest.raises(tidal.SessionClosed, match="ended with its operation 6"):
            intake.receive(SessionOp(7, 7, OPERATIONS[1]))


def test_only_so_many_openings_are_known_for_good(tmp_path: Path) -> None:
    limits = tidal.SessionLimits(closed=0)
    for _ in range(2):  # the second time, they are read from the folder
        with open_at(tmp_path / "s", sessions=limits) as db:
            intake = SessionIntake(db, most=2)
            for session_id in (1, 2, 3):
                for op in (ops(session_id)[0], SessionOp(session_id, 2, OPERATIONS[-1])):
                    intake.receive(op)
            before = db.last_seq
            assert [intake.receive(ops(session_id)[0]) for session_id in (2, 3)] == [1, 1]
            assert db.last_seq == before


def test_a_session_open_when_the_process_ended_is_known_for_good_too(tmp_path: Path) -> None:
    """It ended between the opening and the note that it was opened."""
    limits = tidal.SessionLimits(closed=0)
    with open_at(tmp_path / "s", sessions=limits) as db:
        db.session(user_id="ann", agent="a", session_id=7, timestamp=T)
    with open_at(tmp_path / "s", sessions=limits) as db:
        intake = SessionIntake(db)
        assert intake.receive(SessionOp(7, 2, OPERATIONS[-1])) == 2
        assert intake.receive(ops()[0]) == 1
        assert db.last_seq == 2


def test_an_error_takes_what_was_before_it(tmp_path: Path) -> None:
    first, second, third, *_ = ops()
    wrong = SessionOp(7, 2, session_operation("signal", signal="none", entity_id=1, timestamp=T))
    with open_at(tmp_path / "s", sync="os") as db:
        intake = SessionIntake(db)
        intake.receive(third)
        assert intake.receive(wrong) == 0
        with pytest.raises(tidal.UnknownSignalType):
            intake.receive(first)
        assert intake.receive(first) == 1
        assert db.durable_seq == 1
        assert [intake.receive(second), intake.receive(third)] == [2, 3]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"\xff", b"[" * 5000, b'{"op":"open"}', b'{"op":"open","timestamp":1.5}',
        b'{"op":"open", "timestamp":1}', b'{"op":"steal","timestamp":1}',
        b'{"a":1,"op":"open","timestamp":1}',
        session_operation("close", timestamp=T),
    ],
)  # fmt: skip
def test_what_is_no_operation_is_refused(tmp_path: Path, data: bytes) -> None:
    with open_at(tmp_path / "s") as db:
        with pytest.raises(FormatError):
            SessionIntake(db).receive(SessionOp(7, 1, data))
        assert db.last_seq == 0


def test_where_operations_cannot_be_taken_in() -> None:
    with tidal.open(schema=SCHEMA) as db, pytest.raises(tidal.StoreMissing, match="open a folder"):
        SessionIntake(db)


def test_deduplication_is_refused(tmp_path: Path) -> None:
    with open_at(tmp_path / "s", dedup="content") as db, pytest.raises(tidal.InvalidOption, match="dedup="):
        SessionIntake(db)


def test_operations_are_checked_where_they_are_made() -> None:
    for what, fields in (("steal", {}), ("close", {"note": 1}), ("annotate", {"note": float("nan")})):
        with pytest.raises(tidal.InvalidOption):
            session_operation(what, timestamp=T, **fields)


@pytest.mark.parametrize("sync", ["group", "os"])
def test_whatever_a_power_cut_leaves_all_is_taken_in_once(sync: str) -> None:
    """Closed sessions are forgotten at once here, so that only what is kept beside the log knows them."""
    disk, paths = MemoryDisk(), StorePaths(Path("/s"))

    def open_on(disk: MemoryDisk) -> tidal.TidalDb:
        settings = checked_settings(
            clock=lambda: T,
            max_future_skew=None,
            checkpoint_bytes=None,
            sessions=tidal.SessionLimits(closed=0),
        )
        options = StoreOptions(schema=SCHEMA, sync=parse_sync(sync), shards=1)
        return open_store(paths, options, settings, Wiring(fs=disk, engine=FileEngine))

    open_on(disk).close()
    begin = len(disk.journal)
    with inline_keeper():
        db = open_on(disk)
        intake = SessionIntake(db)
        for op in ops():
            disk.mark("told", intake.receive(op))
        db.close()
        for state in crash_states(disk.initial, disk.journal, limit=6, rng=random.Random(1), begin=begin):
            with open_on(MemoryDisk(state.image)) as db:
                assert db.last_seq >= state.marks.get("told", 0)
                intake = SessionIntake(db)
                assert [intake.receive(op) for op in ops()][-1] == len(OPERATIONS)
                assert (db.last_seq, db.count("view", "post:1", "all")) == (len(OPERATIONS), 2)
