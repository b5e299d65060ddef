"""replay(): the same answers as the twin's, wherever the events lie and whoever adds them up."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore
from replaykit import twin
from worn import EVENTS, START

import tidal
from tidal.errors import (
    InvalidEvent,
    InvalidOption,
    MissingSegment,
    SchemaError,
    StoreMissing,
    UnknownSignalType,
)
from tidal.replay import replaying
from tidal.replay.finding import Looking, find_source
from tidal.replay.job import make_job, promised
from tidal.schema import EventBatch, Schema
from tidal.testing import assert_agrees
from tidal.testing.strategies import batches, schemas

SECOND = 10**9
HALFWAY = START + 150 * SECOND
CHANGED = (
    tidal.SchemaBuilder()
    .signal("share", half_life="1d")
    .signal("follow", kind="creator", half_life="30d")
    .signal("like", half_life=("1d", "3d"), windows=("7d",), signed=True)
    .signal("view", half_life="3d", windows=("1h",))
    .build()
)

Sources = dict[str, Callable[[Path], Any]]
SOURCES: Sources = {
    "store": lambda store: store,
    "text": str,
    "files": lambda store: [*(store / "archive").glob("*.arc"), *(store / "wal").glob("*.seg")],
    "url": lambda store: store.as_uri(),
    "object store": lambda store: LocalStore(str(store)),
}
EXECUTORS: dict[str, Callable[[], Executor] | int] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": 2,
}


def assert_like_twin(replayed: tidal.Replayed, model: Any, at: int) -> None:
    assert_agrees(replayed.ledger, model, at)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_history_wherever_it_lies(store: Path, source: Callable[[Path], Any]) -> None:
    found = tidal.replay(source(store))
    assert_like_twin(found, twin(store), START + 400 * SECOND)
    assert (found.events, found.last_seq, found.left_out) == (360, 360, ())
    assert [(run.first_seq, run.last_seq) for run in found.covered] == [(1, 360)]


def test_an_archive_alone(store: Path) -> None:
    for source in (store / "archive", sorted((store / "archive").glob("*.arc"))[1]):
        (run,) = tidal.replay(source).covered
        assert run.last_seq < 360
        model = twin(store, wanted=lambda seq, _, run=run: run.first_seq <= seq <= run.last_seq)
        assert_like_twin(tidal.replay(source), model, HALFWAY)


def test_the_keys_of_an_archive_alone(store: Path, tmp_path: Path) -> None:
    """There is no database of entities: events bring the keys, also those that are not kept."""
    id = tidal.replay(store).items.id_of("item7")
    for options in ({}, {"scratch": tmp_path / "x"}, {"signals": ["like"], "until": START + 5 * SECOND}):
        found = tidal.replay(store / "archive", **options)
        assert found.key_of(id) == "item7"
    assert found.events == 0


def test_an_archive_that_was_copied_to_an_object_store(store: Path) -> None:
    objects = MemoryStore()
    for path in (store / "archive").iterdir():
        objects.put(f"backup/{path.name}", path.read_bytes())
        objects.put(path.name, path.read_bytes())
    found = tidal.replay(objects)
    assert_like_twin(found, twin(store, wanted=lambda seq, _: seq <= found.last_seq), HALFWAY)


def test_it_reads_like_a_database(store: Path) -> None:
    found = tidal.replay(store)
    with tidal.open(store, read_only=True, clock="event") as db:
        assert found.now() == db.now()
        for signal in db.schema.names:
            assert list(found.top(signal, 30)) == list(db.top(signal, 30))
            for name, column in db.read(signal).items():
                assert np.array_equal(column, found.read(signal)[name])
        assert found.score("view", "item3", at=HALFWAY) == db.score("view", "item3", at=HALFWAY)
        assert found.velocity("view", "item3", "1h") == db.velocity("view", "item3", "1h") > 0
        assert found.key_of(db.items.id_of("item3")) == "item3"
    with pytest.raises(UnknownSignalType):
        found.score("purchase", 1)


def test_it_is_the_live_state_byte_for_byte(store: Path) -> None:
    with tidal.open(store, read_only=True) as db:
        assert tidal.replay(store).ledger.state_digest() == db._ledger.state_digest()


def test_nothing_after_until(store: Path) -> None:
    found = tidal.replay(store, until=HALFWAY)
    assert_like_twin(found, twin(store, wanted=lambda _, it: it.timestamp <= HALFWAY), HALFWAY)
    assert found.now() == HALFWAY  # an event at exactly that time is not after it
    assert found.until == HALFWAY


def test_at_is_the_present_of_reads(store: Path) -> None:
    later = np.datetime64(START + 43200 * SECOND, "ns")
    found = tidal.replay(store, at=later)
    assert found.now() == START + 43200 * SECOND
    assert found.count("view", "item3", "1h") == 0 < found.count("view", "item3", "24h")


def test_another_schema(store: Path) -> None:
    found = tidal.replay(store, schema=CHANGED)
    assert_like_twin(found, twin(store, CHANGED), START + 400 * SECOND)


def test_some_types_alone(store: Path) -> None:
    found = tidal.replay(store, signals=["like"], schema=CHANGED)
    assert found.schema.names == ("like",)
    assert found.events == 120
    assert_like_twin(found, twin(store, found.schema), START + 400 * SECOND)
    with pytest.raises(UnknownSignalType):
        found.score("view", "item3")
    assert found.key_of(found.items.id_of("item0")) == "item0"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_parts_add_up(store: Path, count: int) -> None:
    parts = [tidal.replay(store, part=(number, count)) for number in range(1, count + 1)]
    assert sum(part.events for part in parts) == 360
    whole = parts.pop(count // 2)
    for part in parts:
        whole.merge(part)
    whole.check_whole()
    assert_like_twin(whole, twin(store), START + 400 * SECOND)
    assert [(run.first_seq, run.last_seq) for run in whole.covered] == [(1, 360)]
    assert (
        whole.top("view", 30, by="count.all").keys == tidal.replay(store).top("view", 30, by="count.all").keys
    )


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=EXECUTORS.keys())
@pytest.mark.parametrize("scratch", [False, True], ids=["bytes", "scratch"])
def test_any_executor(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: Any, scratch: bool
) -> None:
    monkeypatch.setattr(replaying, "TASK_EVENTS", 20)
    monkeypatch.setattr(replaying, "FAN_IN", 3)
    folder = tmp_path / "scratch" if scratch else None
    seen: list[tidal.ReplayProgress] = []
    found = tidal.replay(store, executor=executor, scratch=folder, progress=seen.append)
    assert_like_twin(found, twin(store), START + 400 * SECOND)
    assert found.key_of(found.items.id_of("item3")) == "item3"
    assert [it.events for it in seen] == [20 * done for done in range(1, 19)]
    assert seen[-1].share == 1.0 and seen[-1].bytes == seen[-1].bytes_total > 0
    assert folder is None or list(folder.iterdir()) == []


def test_equal_jobs_give_equal_bytes(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "TASK_EVENTS", 50)
    digests = {
        tidal.replay(store, executor=lambda: ThreadPoolExecutor(3)).ledger.state_digest(),
        tidal.replay(store, scratch=tmp_path / "scratch").ledger.state_digest(),
        tidal.replay(store, scratch=LocalStore(str(tmp_path))).ledger.state_digest(),
    }
    assert len(digests) == 1


@given(schemas(), st.data())
@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # each example is a store
def test_random_histories(schema: Schema, data: st.DataObject) -> None:
    logged = data.draw(batches(schema))
    count = data.draw(st.integers(1, 4))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        with tidal.open(store, schema=schema, max_future_skew=None, sync="os") as db:
            for batch in logged:
                db._take_over(batch)
        model = twin(store)
        times = [int(t) for batch in logged for t in batch.timestamp] or [0]
        at = data.draw(st.sampled_from(times))
        assert_like_twin(tidal.replay(store), model, at)
        parts = [tidal.replay(store, part=(number, count)) for number in range(1, count + 1)]
        for part in parts[1:]:
            parts[0].merge(part)
        assert_like_twin(parts[0], model, at)
        until = tidal.replay(store, until=at, scratch=Path(folder, "scratch"))
        assert_like_twin(until, twin(store, wanted=lambda _, it: it.timestamp <= at), at)


def test_an_empty_store(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    tidal.open(tmp_path / "store", schema=schema).close()
    for found in (tidal.replay(tmp_path / "store"), tidal.replay(tmp_path / "store", scratch=tmp_path / "x")):
        assert (found.events, found.covered, found.score("view", 1)) == (0, (), 0.0)


def test_sessions_are_passed_over(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("reward", signed=True).build()
    with tidal.open(tmp_path / "store", schema=schema) as db:
        with db.sessions.open(user_id="u", agent="a") as session:
            session.signal("reward", 7, -2.5)
        db.signal("reward", 7, 1.0)
    found = tidal.replay(tmp_path / "store")
    assert (found.events, found.score("reward", 7)) == (2, -1.5)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"signals": "view"}, InvalidOption),
        ({"signals": []}, InvalidOption),
        ({"signals": ["hate"]}, UnknownSignalType),
        ({"schema": tidal.SchemaBuilder().signal("view").build()}, SchemaError),
        ({"schema": tidal.SchemaBuilder()}, SchemaError),
        ({"until": "yesterday"}, InvalidEvent),
        ({"at": 1.5}, InvalidEvent),
        ({"part": (0, 3)}, InvalidOption),
        ({"part": (4, 3)}, InvalidOption),
        ({"executor": 0}, InvalidOption),
        ({"executor": "threads"}, InvalidOption),
        ({"resume": True}, InvalidOption),
        ({"partial": 1}, InvalidOption),
        ({"on_damage": "ignore"}, InvalidOption),
        ({"scratch": 5}, InvalidOption),
    ],
)
def test_options_are_checked(original: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tidal.replay(original, **options)


@pytest.mark.parametrize("source", [[], 5, None, "", "nowhere://x"])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(InvalidOption):
        tidal.replay(source)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        tidal.replay(tmp_path)


def test_a_history_without_its_beginning(store: Path, original: Path) -> None:
    with tidal.open(store, clock="event", retain=1) as db:
        db.marks.remove("follower")
        db.archive()
    with pytest.raises(MissingSegment) as caught:
        tidal.replay(store)
    assert (caught.value.first, "partial=True" in caught.value.__notes__[0]) == (1, True)
    found = tidal.replay(store, partial=True)
    first = found.covered[0].first_seq
    assert first > EVENTS
    assert_like_twin(found, twin(original, wanted=lambda seq, _: seq >= first), START + 400 * SECOND)


def test_sums_to_a_billionth_however_they_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of many sizes, decays of many lengths: what serial replay gives is what parts give."""
    rng = np.random.default_rng(7)
    count = 20_000
    schema = (
        tidal.SchemaBuilder().signal("view", half_life=("1h", "30d"), windows=("1h", "24h", "7d")).build()
    )
    with tidal.open(tmp_path / "store", schema=schema, max_future_skew=None, sync="os") as db:
        db._take_over(
            EventBatch(
                rng.integers(0, 300, count).astype(np.uint64),
                np.zeros(count, np.uint8),
                np.exp(rng.uniform(-8, 8, count)).astype(np.float32),
                START + rng.integers(0, 40 * 86400, count) * SECOND,
            )
        )
    monkeypatch.setattr(replaying, "TASK_EVENTS", 1000)
    serial = tidal.replay(tmp_path / "store").read("view")
    spread = tidal.replay(tmp_path / "store", executor=lambda: ThreadPoolExecutor(2)).read("view")
    order = {int(entity): row for row, entity in enumerate(spread["entity_id"])}
    rows = [order[int(entity)] for entity in serial["entity_id"]]
    for name, column in serial.items():
        if name.startswith("score"):
            for want, got in zip(column.tolist(), spread[name][rows].tolist(), strict=True):
                assert math.isclose(want, got, rel_tol=1e-9, abs_tol=1e-300)
        else:
            assert np.array_equal(column, spread[name][rows])


def test_nothing_is_promised_that_may_not_come(store: Path) -> None:
    """A clock that was moved too far would empty windows: what is cut or perhaps damaged promises nothing."""
    source = find_source(store, Looking(None, partial=False, skip=False))
    schema = source.schema
    whole = promised(source, make_job(source, None, None, None, False))
    newest = {it.type_id: twin(store).clock(it.name) for it in schema}
    assert set(whole) == set(newest)
    assert all(t <= (newest[type_id] or 0) for type_id, t in whole.items())
    assert promised(source, make_job(source, None, None, None, True)) == {}
    assert promised(source, make_job(source, None, None, START - 1, False)) == {}
    assert promised(source.between(1, 30), make_job(source, None, None, None, False)) == {}
    changed = promised(source, make_job(source, CHANGED, None, None, False))
    assert {CHANGED.by_id(it).name: t for it, t in changed.items()} == {
        schema.by_id(it).name: t for it, t in whole.items()
    }
    likes = make_job(source, None, ["like"], None, False)
    assert set(promised(source, likes)) == {schema.signal("like").type_id}
