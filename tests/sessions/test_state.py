"""SessionState against a slow twin: however events are cut, saved and restored, it says the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise

import pytest
from format_pages import FOLDER, tables
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError
from tidal.parts import join_batches
from tidal.schema.events import NOTE_TYPE_ID, TIME_MIN_NS, EventBatch, batch_of_rows
from tidal.sessions import Annotation, Closed, Hint, Opened, Operation, SessionState, encode
from tidal.sessions.state import _Entry

NAMES = {0: "view", 1: "reward"}
Step = tuple[int | None, int, float, int, Operation | None]  # session, type, weight, time, operation


@dataclass
class Twin:
    """One session, by the definition: what is counted are the rows since it was opened."""

    opened_at: int
    agent: str
    rows: list[Step] = field(default_factory=list)

    def facts(self) -> tuple[object, ...]:
        signals = [row for row in self.rows if row[4] is None]
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for _, type_id, weight, _, _ in signals:
            sums[NAMES[type_id]] = sums.get(NAMES[type_id], 0.0) + weight
            counts[NAMES[type_id]] = counts.get(NAMES[type_id], 0) + 1
        closed = next((row for row in self.rows if isinstance(row[4], Closed)), None)
        return (
            self.opened_at, self.agent, max([self.opened_at, *(row[3] for row in self.rows)]),
            1 + len(self.rows), counts, sums, sum(isinstance(row[4], Hint) for row in self.rows),
            sum(isinstance(row[4], Annotation) for row in self.rows),
            closed and closed[3], closed and isinstance(closed[4], Closed) and closed[4].reason,
        )  # fmt: skip


def twin_of(steps: list[Step], closed_most: int, retention: int | None) -> dict[int, Twin]:
    opened: dict[int, Twin] = {}
    closed: dict[int, tuple[int, Twin]] = {}
    clock = TIME_MIN_NS
    for step in steps:
        session, _, _, time, operation = step
        if session is None:
            continue
        if isinstance(operation, Opened):
            closed.pop(session, None)
            opened[session] = Twin(time, operation.agent)
        elif session not in opened:
            continue
        else:
            opened[session].rows.append(step)
        if isinstance(operation, Closed):
            closed[session] = (time, opened.pop(session))
        if isinstance(operation, Opened | Closed):
            clock = max(clock, time)
            while closed:
                first = next(iter(closed))
                if len(closed) <= closed_most and (
                    retention is None or closed[first][0] >= clock - retention
                ):
                    break
                del closed[first]
    return opened | {session: twin for session, (_, twin) in closed.items()}


def batch_of_steps(steps: list[Step]) -> EventBatch:
    rows = [(9, NOTE_TYPE_ID if op else type_id, 0.0 if op else weight, time, 7, session, None)
            for session, type_id, weight, time, op in steps]  # fmt: skip
    return replace(batch_of_rows(rows), notes=tuple(encode(step[4]) for step in steps if step[4]))


signals = st.tuples(
    st.none() | st.integers(1, 4), st.integers(0, 1), st.sampled_from([0.1, 1e30, -1e30, 2.5]).map(
        lambda weight: float(batch_of_rows([(0, 0, weight, 0, None, None, None)]).weight[0])
    ), st.integers(0, 1000), st.none(),
)  # fmt: skip
noted = st.tuples(
    st.integers(1, 4), st.just(0), st.just(0.0), st.integers(0, 1000),
    st.one_of(
        st.builds(Opened, st.sampled_from("ab")), st.builds(Closed, st.sampled_from(["closed", "expired"])),
        st.just(Hint(1, 2)), st.just(Annotation(1, "x")),
    ),
)  # fmt: skip
steps = st.lists(signals | noted, min_size=1, max_size=40)
Limits = tuple[int, int | None]
limits = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 400))


def cut(given_steps: list[Step], ends: list[int]) -> list[EventBatch]:
    edges = sorted({0, len(given_steps), *(end for end in ends if end < len(given_steps))})
    return [batch_of_steps(given_steps[a:b]) for a, b in pairwise(edges)]


def facts_of(state: SessionState) -> dict[int, tuple[object, ...]]:
    return {
        it.id: (it.opened_at, it.agent, it.last_at, it.seq, dict(it.signals), dict(it.weights), it.hints,
                it.annotations, it.closed_at, it.reason)
        for it in state.summaries(NAMES, None, TIME_MIN_NS)
    }  # fmt: skip


@given(steps, st.lists(st.integers(1, 39)), limits)
def test_it_equals_the_twin(given_steps: list[Step], ends: list[int], bounds: Limits) -> None:
    state = SessionState(*bounds)
    for batch in cut(given_steps, ends):
        state.on_events(batch)
    want = {session: twin.facts() for session, twin in twin_of(given_steps, *bounds).items()}
    assert facts_of(state) == want
    for session in range(1, 5):
        found = state.get(session, NAMES)
        assert (found is not None) == (session in want)
        assert (state.last_at(session) is not None) == (found is not None and found.is_open)
    ids = [it.id for it in state.summaries(NAMES, None, TIME_MIN_NS)]
    assert len(ids) == len(set(ids))  # one that was opened again is not both open and closed
    assert len(state) == sum(facts[8] is None for facts in want.values())


@given(steps, st.lists(st.integers(1, 39)), st.lists(st.integers(1, 39)), limits)
def test_cutting_and_restoring_change_no_byte(
    given_steps: list[Step], ends: list[int], other_ends: list[int], bounds: Limits
) -> None:
    """As a replay differs from the calls before it: single events joined, blocks of the archive."""
    straight, restored = SessionState(*bounds), SessionState(*bounds)
    straight.on_events(join_batches([batch_of_steps([step]) for step in given_steps]))
    for batch in cut(given_steps, ends):
        restored.on_events(batch)
        saved = restored.checkpoint()
        restored = SessionState(*bounds)
        restored.restore(saved)
        assert restored.checkpoint() == saved
    assert straight.checkpoint() == restored.checkpoint()
    one_by_one = SessionState(*bounds)
    for step in given_steps:
        if step[4] is None and step[0] is not None:
            one_by_one.on_event(step[0], step[1], step[2], step[3])
        else:
            one_by_one.on_events(batch_of_steps([step]))
    assert one_by_one.checkpoint() == straight.checkpoint()


def test_summaries_of_a_user_since_a_time() -> None:
    state = SessionState(9, None)
    for session, user, time in ((1, 7, 30), (2, 8, 20), (3, 7, 10)):
        rows = [(0, NOTE_TYPE_ID, 0.0, time, user, session, None)]
        state.on_events(replace(batch_of_rows(rows), notes=(encode(Opened("a")),)))
    state.on_event(3, 0, 1.0, 25)
    assert [it.id for it in state.summaries(NAMES, None, TIME_MIN_NS)] == [3, 2, 1]
    assert [it.id for it in state.summaries(NAMES, 7, TIME_MIN_NS)] == [3, 1]
    assert [it.id for it in state.summaries(NAMES, None, 25)] == [3, 1]
    assert [it.id for it in state.summaries(NAMES, 7, 26)] == [1]
    assert state.idle(25) == [2]


def test_an_unused_state_saves_nothing() -> None:
    state = SessionState(9, None)
    state.on_events(batch_of_rows([(1, 0, 1.0, 5, 7, 3, None)]))
    assert (state.checkpoint(), state.used) == (b"", False)
    state.restore(b"")
    assert not state.used


def test_fewer_are_remembered_where_fewer_are_asked_for() -> None:
    state = SessionState(9, None)
    for session in range(1, 5):
        state.on_events(batch_of_steps([(session, 0, 0.0, session, Opened("a")),
                                        (session, 0, 0.0, session, Closed())]))  # fmt: skip
    narrow = SessionState(2, None)
    narrow.restore(state.checkpoint())
    assert sorted(facts_of(narrow)) == [3, 4]


def test_what_no_tidal_writes_is_refused() -> None:
    state = SessionState(9, None)
    batch = replace(batch_of_steps([(1, 0, 0.0, 0, Opened("a"))]), notes=(b"{}",))
    with pytest.raises(FormatError):
        state.on_events(batch)
    for saved in (
        b"{",
        b'{"version":2}',
        b'{"version":1}',
        b'{"version":1,"open":[[1]],"closed":[],"clock":0}',
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            SessionState(9, None).restore(saved)


def test_the_page_names_the_fields_of_a_saved_session() -> None:
    rows = next(rows for name, rows in tables((FOLDER / "sessions.md").read_text()).items()
                if name.startswith("place:"))  # fmt: skip
    assert [(int(row[0]), row[1].strip("`")) for row in rows] == list(
        enumerate(each.name for each in fields(_Entry))
    )
    state = SessionState(9, None)
    state.on_events(batch_of_steps([(1, 0, 0.0, 5, Opened("a"))]))
    assert set(json.loads(state.checkpoint())) == {"version", "clock", "open", "closed"}


def test_a_session_that_is_opened_again_is_not_closed_any_more() -> None:
    state = SessionState(9, None)
    for operation in (Opened("a"), Closed(), Opened("b")):
        state.on_events(batch_of_steps([(1, 0, 0.0, 5, operation)]))
    (summary,) = state.summaries(NAMES, None, TIME_MIN_NS)
    assert (summary.agent, summary.is_open, summary.seq) == ("b", True, 1)
