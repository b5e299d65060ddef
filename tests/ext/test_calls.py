"""Compiled calls: the usual form is answered as the general method does, every other one by that method."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidal
from tidal._ext.calls import Counter, ReadCalls, WriteCalls
from tidal.db.reads import Reads
from tidal.sessions.state import SessionState

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("reward", half_life="30d", signed=True)
    .build()
)

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.sampled_from(["view", "reward", "1h", "7d", "all"]),
    st.sampled_from([np.uint64(7), np.int8(-1), [1], {}]),
)  # fmt: skip


@pytest.fixture
def db() -> Any:
    with tidal.open(schema=SCHEMA) as db:
        yield db


def outcome(call: Any, *args: Any, **options: Any) -> Any:
    try:
        return call(*args, **options)
    except Exception as error:
        return type(error), str(error)


def test_the_usual_calls_are_compiled(db: tidal.TidalDb) -> None:
    assert isinstance(db.score.__self__, ReadCalls)  # type: ignore[attr-defined]
    assert isinstance(db.scores.__self__, ReadCalls)  # type: ignore[attr-defined]
    assert isinstance(db.count.__self__, ReadCalls)  # type: ignore[attr-defined]
    assert isinstance(db.signal.__self__, WriteCalls)  # type: ignore[attr-defined]


def test_they_answer_as_the_general_methods(db: tidal.TidalDb) -> None:
    now = time.time_ns()
    for entity in (0, 1, 2**63, 2**64 - 1):
        db.signal("view", entity, timestamp=now - 5 * 10**9)
        db.signal("view", entity, 2.5)
        # The two ask the clock one after the other: a score of a half-life of a week changes less than this.
        assert math.isclose(db.score("view", entity), Reads.score(db, "view", entity), rel_tol=1e-6)
        for window in ("1h", "24h", "all"):
            assert db.count("view", entity, window) == Reads.count(db, "view", entity, window) == 2
    assert db.score("view", 12345) == 0.0
    assert db.count("view", 12345, "1h") == 0


IDS = np.arange(1_000, dtype=np.uint64) * np.uint64(7919)
FORMS = {
    "array": IDS, "list": IDS.tolist(), "tuple": tuple(IDS.tolist()), "int64": IDS.astype(np.int64),
    "with gaps": IDS[::3], "backwards": IDS[::-1], "other end first": IDS.astype(">u8"),
    "read-only": np.frombuffer(IDS.tobytes(), np.uint64), "two axes": IDS.reshape(2, 500), "empty": IDS[:0],
    "empty list": [], "one": [7919], "unknown": [3, 7919, 2**64 - 1], "keys": ["a", "b"], "mixed": [1, "a"],
    "too large": [1, 2**64], "negative": [-1], "flags": [True], "floats": [1.0], "not whole": IDS + 0.5,
    "times": IDS.astype("datetime64[ns]"), "of NumPy": list(IDS[:3]), "objects": IDS.astype(object),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_the_general_method(db: tidal.TidalDb, form: str) -> None:
    db.ingest(signal="view", entity_id=IDS[::2], weight=np.arange(1, 501, dtype=np.float32))
    found, due = outcome(db.scores, "view", FORMS[form]), outcome(Reads.scores, db, "view", FORMS[form])
    if isinstance(due, tuple):
        assert found == due
    else:  # the two ask the clock one after the other
        assert found.dtype == due.dtype == np.float64 and found.shape == due.shape
        np.testing.assert_allclose(found, due, rtol=1e-6)


@given(signal=ODD, ids=st.one_of(ODD, st.lists(ODD, max_size=3)))
def test_odd_reads_of_many_are_refused_as_ever(signal: Any, ids: Any) -> None:
    with tidal.open(schema=SCHEMA) as db:
        found, due = outcome(db.scores, signal, ids), outcome(Reads.scores, db, signal, ids)
        assert found == due if isinstance(due, tuple) else found.tolist() == due.tolist()


def test_scores_at_other_times_and_of_other_half_lives_are_of_the_general_method(db: tidal.TidalDb) -> None:
    db.signal("view", 7, timestamp=0)
    week = 7 * 86400 * 10**9
    assert db.scores("view", [7, 8], at=week).tolist() == [0.5, 0.0]
    with pytest.raises(tidal.UnknownMeasure):
        db.scores("view", [7], half_life="1d")


@given(signal=ODD, entity=ODD, window=ODD)
def test_odd_reads_are_refused_as_ever(signal: Any, entity: Any, window: Any) -> None:
    with tidal.open(schema=SCHEMA) as db:
        assert outcome(db.score, signal, entity) == outcome(Reads.score, db, signal, entity)
        assert outcome(db.count, signal, entity, window) == outcome(Reads.count, db, signal, entity, window)


@given(signal=st.sampled_from(["view", "reward", "like", 3]), entity=ODD, weight=ODD)
def test_odd_events_are_recorded_or_refused_as_ever(signal: Any, entity: Any, weight: Any) -> None:
    with tidal.open(schema=SCHEMA) as one, tidal.open(schema=SCHEMA) as other:
        assert outcome(one.signal, signal, entity, weight) == outcome(
            tidal.TidalDb.signal, other, signal, entity, weight
        )
        assert one.last_seq == other.last_seq


@given(st.floats())
def test_weights_are_rounded_as_ever(weight: float) -> None:
    with tidal.open(schema=SCHEMA) as one, tidal.open(schema=SCHEMA) as other:
        assert outcome(one.signal, "reward", 1, weight) == outcome(
            tidal.TidalDb.signal, other, "reward", 1, weight, timestamp=None
        )
        assert math.isclose(one.score("reward", 1), other.score("reward", 1), rel_tol=1e-6, abs_tol=1e-300)


def test_a_closed_database_refuses(db: tidal.TidalDb) -> None:
    score, scores, count, signal = db.score, db.scores, db.count, db.signal
    db.close()
    calls = (
        lambda: score("view", 1), lambda: scores("view", [1]), lambda: count("view", 1, "1h"),
        lambda: signal("view", 1),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(tidal.StoreClosed):
            call()


@pytest.mark.parametrize("clock", ["event", lambda: 1_700_000_000_000_000_000])
def test_another_clock_is_not_the_systems(clock: Any) -> None:
    with tidal.open(schema=SCHEMA, clock=clock) as db:
        assert db.score.__func__ is Reads.score  # type: ignore[attr-defined]
        db.signal("view", 1, timestamp=1_700_000_000_000_000_000)
        assert db.score("view", 1) == 1.0


def test_a_subclass_is_asked_itself() -> None:
    class Half(tidal.TidalDb):
        def score(self, *args: Any, **options: Any) -> float:
            return super().score(*args, **options) / 2

    with tidal.open(schema=SCHEMA) as db:
        db.signal("view", 1)
        state = SessionState(10, None)
        half = Half(SCHEMA, db._ledger, state, db._log, db._engine, db._names, db._settings)
        assert half.score("view", 1) == pytest.approx(0.5, rel=1e-6)
        half._stop_compiled()


def test_what_does_not_take_all_events_is_not_compiled() -> None:
    seen: list[int] = []

    class Count:
        def on_events(self, batch: Any) -> None:
            seen.append(len(batch))

        def checkpoint(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None: ...

    with tidal.open(schema=SCHEMA, materializers={"n": Count()}) as db:
        db.signal("view", 1)
    with tidal.open(schema=SCHEMA, dedup="event_id") as db:
        assert db.signal("view", 1, event_id=5) == 1
        assert db.signal("view", 1, event_id=5) == 0
    assert seen == [1]


def test_a_counter() -> None:
    counter = Counter(5)
    assert counter.take(1) == (6, 6)
    assert counter.take(3) == (7, 9)
    assert counter.last == 9
