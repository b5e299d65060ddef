"""Deduplication: held to a brute-force model, across reopening, refused appends, Ctrl-C and threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archivekit import QuickFs
from hypothesis import given, settings
from hypothesis import strategies as st

import tidal
from tidal._ext.seen import Generation
from tidal.archive import upkeep
from tidal.dedup import Admission, SeenEvents, parse_dedup
from tidal.durable import File, OsFileSystem
from tidal.entities import entity_key_id
from tidal.opening import Wiring
from tidal.opening import arguments as opening_arguments

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h",))
    .signal("like", signed=True)
    .signal("follow", kind="creator")
    .build()
)
SECOND = 10**9
START = 1_700_000_000 * SECOND
NAMES = ("signal", "entity_id", "weight", "timestamp", "user_id", "session_id", "event_id")

Row = dict[str, Any]


def open_db(path: Path | None = None, **options: Any) -> tidal.TidalDb:
    return tidal.open(path, schema=SCHEMA, **{"clock": "event", "sync": "os"} | options)


def columns_of(rows: list[Row]) -> dict[str, Any]:
    columns = {name: [row[name] for row in rows] for name in NAMES}
    return {name: None if all(v is None for v in column) else column for name, column in columns.items()}


# ------------------------------------------------------------------------------ the rule


class Model:
    """The rule of tidal.Dedup, said as it is: all events in a list, gone through for each new one."""

    def __init__(self, dedup: tidal.Dedup) -> None:
        self.dedup = dedup
        self.horizon = None if dedup.time is None else int(str(dedup.time)[:-1]) * SECOND
        self.log: list[Row] = []

    def ingest(self, rows: list[Row]) -> int:
        """Take the rows that are no duplicates; return how many are."""
        before = len(self.log)
        for row in rows:
            if not self.is_duplicate(row):
                self.log.append(row)
        return len(rows) - (len(self.log) - before)

    def is_duplicate(self, row: Row) -> bool:
        number = len(self.log) // self.dedup.events
        generations = [n for n in (number - 1, number) if n >= 0]
        return any(self._remembers(n, self._key(row)) for n in generations)

    def _remembers(self, generation: int, key: Any) -> bool:
        events = self.dedup.events
        those = self.log[generation * events : (generation + 1) * events]
        if key is None or not those:
            return False
        newest, clock = (max(row["timestamp"] for row in rows) for rows in (those, self.log))
        fresh = self.horizon is None or newest >= clock - self.horizon
        return fresh and any(self._key(row) == key for row in those)

    def _key(self, row: Row) -> Any:
        if self.dedup.by == "content":
            return tuple(row[name] for name in NAMES)
        return None if row["event_id"] is None else (row["signal"], row["event_id"])

    def counts(self, signal: str) -> list[int]:
        ids = [row["entity_id"] for row in self.log if row["signal"] == signal]
        return [ids.count(entity) for entity in ENTITIES]


ENTITIES = [0, 1, 2**64 - 1]
ROWS = st.fixed_dictionaries(
    {
        "signal": st.sampled_from(["view", "like"]),
        "entity_id": st.sampled_from(ENTITIES),
        "weight": st.sampled_from([1.0, 0.0, 0.5]),
        "timestamp": st.integers(-3, 20).map(lambda second: START + second * SECOND),
        "user_id": st.sampled_from([None, 0, 5]),
        "session_id": st.none(),
        "event_id": st.sampled_from([None, 0, 1, 2, 2**64 - 1]),
    }
)
DEDUPS = st.builds(
    tidal.Dedup,
    st.sampled_from(["event_id", "content"]),
    events=st.integers(1, 12),
    time=st.sampled_from([None, "2s", "6s"]),
)
WHAT_THEN = st.sampled_from(["go on", "reopen", "checkpoint", "checkpoint and reopen"])
CALLS = st.lists(st.tuples(st.lists(ROWS, min_size=1, max_size=9), WHAT_THEN), max_size=10)


def check_call(db: tidal.TidalDb, model: Model, rows: list[Row]) -> None:
    duplicates = model.ingest(rows)
    if len(rows) == 1:
        row = dict(rows[0])
        seq = db.signal(row.pop("signal"), row.pop("entity_id"), row.pop("weight"), **row)
        assert seq == (0 if duplicates else len(model.log))
    else:
        done = db.ingest(**columns_of(rows))
        assert (done.count, done.duplicates) == (len(rows) - duplicates, duplicates)
        assert done.last_seq == (len(model.log) if done.count else 0)
    assert db.last_seq == len(model.log)


@settings(max_examples=max(1, settings().max_examples // 3))  # each opens a store several times
@given(DEDUPS, CALLS)
def test_it_is_the_model_whenever_it_is_reopened(
    tmp_path_factory: pytest.TempPathFactory, dedup: tidal.Dedup, calls: list[tuple[list[Row], str]]
) -> None:
    store = tmp_path_factory.mktemp("store") / "s"
    model = Model(dedup)
    db = open_db(store, dedup=dedup)
    try:
        for rows, then in calls:
            check_call(db, model, rows)
            if "checkpoint" in then:
                db.checkpoint()
            if "reopen" in then:
                db._recorder.failure = (
                    None if "checkpoint" in then else RuntimeError("so close() saves no state")
                )
                db.close()
                db = open_db(store, dedup=dedup)
        for signal in ("view", "like"):
            assert db.counts(signal, ENTITIES, "all").tolist() == model.counts(signal)
    finally:
        db.close()


@given(DEDUPS, CALLS)
def test_it_is_the_model_in_memory(dedup: tidal.Dedup, calls: list[tuple[list[Row], str]]) -> None:
    model = Model(dedup)
    with open_db(dedup=dedup) as db:
        for rows, _ in calls:
            check_call(db, model, rows)


def held(generation: Generation | None, keys: list[tuple[int, int]]) -> Any:
    """What can be told of a generation; there is no difference between an empty one and none."""
    if generation is None or generation.newest < START - 9 * SECOND:
        return 0, None, [False] * len(keys)
    return len(generation), generation.newest, [key in generation for key in keys]


@given(DEDUPS, st.lists(ROWS, min_size=1, max_size=60), st.integers(1, 60), st.data())
def test_what_is_replayed_is_what_was_remembered(
    dedup: tidal.Dedup, rows: list[Row], cut: int, data: st.DataObject
) -> None:
    """The window after any call equals the one that its log gives, key by key."""
    with open_db(dedup=dedup) as db:
        model = Model(dedup)
        for start in range(0, len(rows), cut):
            check_call(db, model, rows[start : start + cut])
        live = db._recorder.seen
        assert live is not None
        replayed = SeenEvents(dedup, live._secret)
        with open_db() as log:
            batches = []
            append = log._log.append
            log._log.append = lambda batch: (batches.append(batch), append(batch))[1]  # type: ignore[method-assign]
            if model.log:
                log.ingest(**columns_of(model.log))
        after = replayed.begin_after(len(model.log))
        (batch,) = batches
        while after < len(model.log):
            size = data.draw(st.integers(1, len(model.log) - after))
            replayed.replay(after + 1, batch.rows(after, after + size))
            after += size
        replayed.advance_clock(max(row["timestamp"] for row in model.log))
        for seen in (live, replayed):
            seen.make_room(len(model.log) + 1, 0)  # turns to the next event's generation
        keys = [tuple(key) for key in live.keys_of(batch).keys.tolist()]
        for mine, other in ((live._current, replayed._current), (live._previous, replayed._previous)):
            assert held(mine, keys) == held(other, keys)
        assert live._clock == replayed._clock


# ------------------------------------------------------------------------------ what callers see


def test_a_retry_is_one_event(tmp_path: Path) -> None:
    with open_db(tmp_path / "s", dedup="event_id") as db:
        assert db.signal("view", 1, event_id="order:7") == 1
        assert db.signal("view", 2, event_id="order:7") == 0  # whatever else it says
        assert db.signal("like", 1, event_id="order:7") == 2  # of another type
        assert db.signal("view", 1) == 3
        assert db.signal("view", 1) == 4  # no event id, no duplicate
        done = db.ingest(signal="view", entity_id=[1, 2, 3], event_id=["a", "a", "order:7"])
        assert (done.first_seq, done.last_seq, done.count, done.duplicates) == (5, 5, 1, 2)
        again = db.ingest(signal="view", entity_id=[1, 2], event_id=["a", "a"])
        assert (again.first_seq, again.last_seq, again.count, again.duplicates) == (0, 0, 0, 2)
        assert db.stats()["dedup"]["duplicates"] == 5
        assert db.stats()["dedup"]["remembered"] == 3
    with open_db(tmp_path / "s", dedup="event_id") as db:
        assert db.signal("view", 9, event_id="order:7") == 0
        assert db.count("view", 9, "all") == 0


def test_the_clock_is_that_of_all_events_also_after_reopening(tmp_path: Path) -> None:
    dedup = tidal.Dedup("event_id", events=2, time="6s")
    with open_db(tmp_path / "s", dedup=dedup) as db:
        for number in range(6):  # the newest event is not among the last two generations
            db.signal("view", 1, event_id=number, timestamp=START + (20 * SECOND if number == 0 else 0))
        assert db.signal("view", 1, event_id=5, timestamp=START) == 7
    with open_db(tmp_path / "s", dedup=dedup) as db:
        assert db.signal("view", 1, event_id=5, timestamp=START) == 8


@pytest.mark.parametrize("retain", ["forever", 1])
def test_the_window_reaches_into_the_archive_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retain: str | int
) -> None:
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(QuickFs(), segment_bytes=1))
    monkeypatch.setattr(upkeep, "FILE_LOG_BYTES", 1)
    with open_db(tmp_path / "s", dedup="event_id", retain=retain) as db:
        for number in range(9):
            db.signal("view", 1, event_id=number)
            db.checkpoint()
        assert sum(file.events for file in db.archive().archived) == 8
    with open_db(tmp_path / "s", dedup="event_id", retain=retain) as db:
        assert db.recovery is not None and db.recovery.replayed_events == 0
        remembered = db.stats()["dedup"]["remembered"]
        assert remembered == 9 if retain == "forever" else 1 <= remembered < 9
        done = db.ingest(signal="view", entity_id=2, event_id=range(9))
        assert (done.duplicates, done.count) == (remembered, 9 - remembered)
        assert db.signal("view", 2, event_id=8) == 0


@pytest.mark.parametrize("sync", ["group", "always", "interval:1h", "os", "buffered:1h"])
def test_under_every_policy(tmp_path: Path, sync: str) -> None:
    with open_db(tmp_path / "s", dedup="event_id", sync=sync) as db:
        assert [db.signal("view", 1, event_id=number // 2) for number in range(6)] == [1, 0, 2, 0, 3, 0]
        assert db.ingest(signal="view", entity_id=1, event_id=range(6)).duplicates == 3
    with open_db(tmp_path / "s", dedup="event_id", sync=sync) as db:
        assert db.ingest(signal="view", entity_id=1, event_id=range(7)).count == 1


def test_honest_twins_collapse_by_content_and_a_new_time_is_new() -> None:
    with open_db(dedup="content") as db:
        same = {"timestamp": START, "user_id": 5, "session_id": "s", "event_id": 9}
        assert db.signal("view", 1, 0.1, **same) == 1
        assert db.signal("view", 1, float(np.float32(0.1)), **same) == 0  # the log holds f32
        for number, change in enumerate(
            [
                {"timestamp": START + 1},
                {"user_id": None},
                {"user_id": 0},
                {"session_id": "t"},
                {"event_id": 0},
            ]
        ):
            assert db.signal("view", 1, 0.1, **same | change) == 2 + number
        assert db.signal("view", 1, 0.0, timestamp=START) == 7
        assert db.signal("view", 1, -0.0, timestamp=START) == 0


def test_without_dedup_nothing_is_dropped(tmp_path: Path) -> None:
    for path in (None, tmp_path / "s"):
        with open_db(path) as db:
            assert [db.signal("view", 1, timestamp=START, event_id=1) for _ in range(2)] == [1, 2]
            assert "dedup" not in db.stats()


def test_a_read_only_database_keeps_no_window(tmp_path: Path) -> None:
    with open_db(tmp_path / "s", dedup="content") as db:
        db.signal("view", 1, timestamp=START)
    with tidal.open(tmp_path / "s", read_only=True, dedup="content") as db:
        assert "dedup" not in db.stats()


def test_more_events_than_a_frame_and_a_generation(tmp_path: Path) -> None:
    ids = np.arange(200_000, dtype=np.uint64) % 150_000
    dedup = tidal.Dedup("event_id", events=60_000, time=None)
    with open_db(tmp_path / "s", dedup=dedup) as db:
        done = db.ingest(signal="view", entity_id=ids, event_id=ids, timestamp=START)
        # Of the second 50,000, nothing is remembered any more: 60,000 to 120,000 events lie between.
        assert (done.count, done.duplicates) == (200_000, 0)
        done = db.ingest(signal="view", entity_id=ids, event_id=ids[-50_000:].repeat(4), timestamp=START)
        assert (done.count, done.duplicates) == (0, 200_000)


def test_a_dropped_row_takes_no_name_with_it(tmp_path: Path) -> None:
    keys = ["new", "new", "other", "unused"]
    with open_db(tmp_path / "s", dedup="event_id") as db:
        db.signal("view", "first", event_id=1)
        db.ingest(signal="view", entity_id=keys, event_id=[1, 2, 3, 3])
        names = [db.key_of(entity_key_id(key)) for key in keys]
    assert names == ["new", "new", "other", None]
    with open_db(tmp_path / "s", dedup="event_id") as db:
        assert [db.key_of(entity_key_id(key)) for key in keys] == names
        assert db.score("view", "new") == 1.0


def test_materializers_see_each_event_once(tmp_path: Path) -> None:
    class Counter:
        events = 0

        def on_events(self, batch: tidal.EventBatch) -> None:
            self.events += len(batch)

        def checkpoint(self) -> bytes:
            return b""

        def restore(self, state: bytes) -> None: ...

    counter = Counter()
    with open_db(tmp_path / "s", dedup="content", materializers={"counter": counter}) as db:
        db.ingest(signal="view", entity_id=[1, 1, 2], timestamp=START)
    assert counter.events == 2


@pytest.mark.parametrize("wrong", ["id", 3, ("event_id",), np.array([1, 2])])
def test_an_unknown_way_is_refused(wrong: Any) -> None:
    with pytest.raises(tidal.InvalidOption, match="event_id"):
        open_db(dedup=wrong)


def test_windows_are_checked() -> None:
    for events in (0, -1, 2**33, 1.5, True, "many"):
        with pytest.raises(tidal.InvalidOption, match="events"):
            tidal.Dedup(events=events)  # type: ignore[arg-type]
    with pytest.raises(tidal.InvalidDuration):
        tidal.Dedup(time="soon")
    assert parse_dedup(None) is None
    assert parse_dedup(tidal.Dedup("content", 5, None)) == tidal.Dedup("content", 5, None)


# ------------------------------------------------------------------------------ refusals and the disk


class OneFault(OsFileSystem):
    """The real file system; the next append to the log, or the next sync of it, raises what is set."""

    append: BaseException | None = None
    late: BaseException | None = None  # after the append was made
    sync: BaseException | None = None

    def create(self, path: Path) -> File:
        return FaultyFile(self, super().create(path))  # type: ignore[return-value]


class FaultyFile:
    def __init__(self, fs: OneFault, file: File) -> None:
        self._fs, self._file = fs, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def append(self, parts: list[Any]) -> int:
        self._raise("append")
        size = self._file.append(parts)
        self._raise("late")
        return size

    def sync(self) -> None:
        self._raise("sync")
        self._file.sync()

    def _raise(self, which: str) -> None:
        error, _ = getattr(self._fs, which), setattr(self._fs, which, None)
        if error is not None:
            raise error


@pytest.mark.parametrize("by", ["event_id", "content"])
def test_a_refused_event_may_be_sent_again(tmp_path: Path, by: str) -> None:
    fs = OneFault()
    columns = {"signal": "view", "entity_id": [1, 2, 1], "event_id": [1, 2, 1], "timestamp": START}
    with open_db(tmp_path / "s", dedup=by, file_system=fs) as db:
        db.signal("view", 0, timestamp=START + 5, event_id=0)
        before = db.stats()["dedup"]
        fs.append = tidal.NoSpace("no space")
        with pytest.raises(tidal.NoSpace):
            db.ingest(**columns)
        assert db.stats()["dedup"] == before
        done = db.ingest(**columns)
        assert (done.count, done.duplicates) == (2, 1)
        assert db.signal("view", 0, timestamp=START + 5, event_id=0) == 0
    with open_db(tmp_path / "s", dedup=by) as db:
        assert db.last_seq == 3
        assert db.ingest(**columns).duplicates == 3


def test_a_refused_event_does_not_move_the_clock(tmp_path: Path) -> None:
    fs, dedup = OneFault(), tidal.Dedup("event_id", time="6s")
    with open_db(tmp_path / "s", dedup=dedup, file_system=fs) as db:
        db.signal("view", 1, event_id=1, timestamp=START)
        fs.append = tidal.NoSpace("no space")
        with pytest.raises(tidal.NoSpace):
            db.signal("view", 1, event_id=2, timestamp=START + 100 * SECOND)
        assert db.signal("view", 1, event_id=1, timestamp=START) == 0


@pytest.mark.parametrize("when", ["append", "late"])
def test_after_ctrl_c_a_retry_is_one_event(tmp_path: Path, when: str) -> None:
    fs = OneFault()
    event = {"timestamp": START, "event_id": 7}
    db = open_db(tmp_path / "s", dedup="event_id", file_system=fs)
    db.signal("view", 0, timestamp=START)
    setattr(fs, when, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        db.signal("view", 1, **event)
    with pytest.raises(tidal.StorePoisoned):  # it is not certain whether it was logged
        db.signal("view", 1, **event)
    db.close()
    with open_db(tmp_path / "s", dedup="event_id") as db:
        there = db.last_seq == 2
        assert there == (when == "late")
        assert db.signal("view", 1, **event) == (0 if there else 2)
        assert db.count("view", 1, "all") == 1


def test_ctrl_c_between_probe_and_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(*_: Any) -> Any:
        raise KeyboardInterrupt

    db = open_db(tmp_path / "s", dedup="event_id")
    with monkeypatch.context() as patch:
        patch.setattr(Admission, "select", strike)
        with pytest.raises(KeyboardInterrupt):
            db.signal("view", 1, event_id=7)
    with pytest.raises(tidal.StorePoisoned):  # else it would be dropped as seen, and be nowhere
        db.signal("view", 1, event_id=7)
    db.close()
    with open_db(tmp_path / "s", dedup="event_id") as db:
        assert db.signal("view", 1, event_id=7) == 1


def test_what_another_thread_left_uncertain_is_not_taken_for_seen(tmp_path: Path) -> None:
    db = open_db(tmp_path / "s", dedup="event_id")
    seen = db._recorder.seen
    assert seen is not None
    keys_of, begun, raised = seen.keys_of, threading.Event(), []

    def keys_of_and_tell(batch: tidal.EventBatch) -> Any:
        begun.set()
        return keys_of(batch)

    def send_again() -> None:
        try:
            db.signal("view", 1, event_id=7)
        except tidal.StorePoisoned as error:
            raised.append(error)

    db.signal("view", 1, event_id=7)
    seen.keys_of = keys_of_and_tell  # type: ignore[method-assign]
    thread = threading.Thread(target=send_again)
    with db._recorder._in_order:
        thread.start()
        assert begun.wait(60)
        db._recorder.failure = KeyboardInterrupt()  # as if it had struck the thread that has the lock
    thread.join()
    assert len(raised) == 1
    db.close()


def test_a_duplicate_waits_for_its_first_copy(tmp_path: Path) -> None:
    """Another thread's event, logged but not synced, must not be acknowledged through its duplicate."""
    fs = OneFault()
    with open_db(tmp_path / "s", dedup="event_id", file_system=fs, sync="group") as db:
        db.signal("view", 1, event_id=1)
        commit, db._log.commit = db._log.commit, lambda seq: None  # type: ignore[method-assign]
        db.signal("view", 1, event_id=2)
        assert (db.last_seq, db.durable_seq) == (2, 1)
        db._log.commit = commit  # type: ignore[method-assign]
        assert db.signal("view", 1, event_id=2) == 0
        assert db.durable_seq == 2
        db._log.commit = lambda seq: None  # type: ignore[method-assign]
        db.signal("view", 1, event_id=3)
        db._log.commit = commit  # type: ignore[method-assign]
        assert db.ingest(signal="view", entity_id=1, event_id=[3, 3]).duplicates == 2
        assert db.durable_seq == 3
        db._log.commit = lambda seq: None  # type: ignore[method-assign]
        db.signal("view", 1, event_id=4)
        db._log.commit = commit  # type: ignore[method-assign]
        fs.sync = tidal.StorageError("the disk is gone")  # type: ignore[assignment]
        with pytest.raises(tidal.StorageError):
            db.signal("view", 1, event_id=4)
        with pytest.raises(tidal.StorePoisoned):
            db.signal("view", 1, event_id=4)
        db._recorder.failure = RuntimeError("so close() saves nothing")
        with pytest.raises(tidal.StorageError):
            db.close()


def test_threads_that_send_the_same_events(tmp_path: Path) -> None:
    ids = np.arange(20_000, dtype=np.uint64)
    done: list[tidal.Ingested] = []

    def send(seed: int, db: tidal.TidalDb) -> None:
        order = np.random.default_rng(seed).permutation(ids)
        for start in range(0, len(order), 1000):
            part = order[start : start + 1000]
            done.append(db.ingest(signal="view", entity_id=part % 7, event_id=part, timestamp=START))

    with open_db(tmp_path / "s", dedup="event_id") as db:
        threads = [threading.Thread(target=send, args=(seed, db)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.last_seq == sum(one.count for one in done) == len(ids)
        assert sum(one.duplicates for one in done) == 3 * len(ids)
        assert db.counts("view", list(range(7)), "all").sum() == len(ids)
