"""The public API: what each call returns, refuses, and leaves behind."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars
import pytest
from failing_step import fail_a_step

import tidal
from tidal.db import upkeep
from tidal.entities import entity_key_id
from tidal.testing import ManualClock

HOUR = 3600 * 10**9
NOW = 472_222 * HOUR

SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
    .signal("like", half_life=("1d", "30d"), windows=("24h",))
    .signal("reward", half_life="30d", signed=True)
    .signal("follow", kind="creator", windows=("7d",))
    .build()
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture(params=["memory", "disk"])
def db(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Any:
    path = tmp_path / "store" if request.param == "disk" else None
    with tidal.open(path, schema=SCHEMA, clock=clock) as database:
        yield database


# ------------------------------------------------------------------------------ reads after writes


def test_one_event_is_live_at_once(db: tidal.TidalDb, clock: ManualClock) -> None:
    assert db.signal("view", 42) == 1
    assert db.signal("like", 42, 2.5, timestamp=NOW - 24 * HOUR, user_id=7) == 2
    assert db.score("view", 42) == 1.0
    assert db.score("like", 42) == pytest.approx(1.25, rel=1e-12)
    assert db.score("like", 42, half_life="30d") == pytest.approx(2.5 * 2 ** (-1 / 30), rel=1e-12)
    assert db.score("like", 42, half_life=1) == db.score("like", 42, half_life="30d")
    assert db.count("view", 42, "1h") == db.count("view", 42, "all") == 1
    assert db.velocity("view", 42, "1h") == 1 / 3600
    clock.advance("7d")
    assert db.score("view", 42) == 0.5
    assert db.count("view", 42, "1h") == 0
    assert db.count("view", 42, "all") == 1
    assert db.count("view", 42, "1h", at=NOW) == 1


def test_reading_ahead_changes_no_later_answer(db: tidal.TidalDb, clock: ManualClock) -> None:
    db.ingest(signal="view", entity_id=[1, 1, 2], timestamp=[NOW - 50 * 60 * 10**9, NOW, NOW])
    before = [db.count("view", 1, "1h", at=NOW + minutes * 60 * 10**9) for minutes in range(0, 70, 5)]
    clock.set(NOW + 400 * 24 * HOUR)
    assert db.count("view", 1, "7d") == 0
    clock.set(NOW)
    assert [db.count("view", 1, "1h", at=NOW + m * 60 * 10**9) for m in range(0, 70, 5)] == before
    assert before[0] == 2 and before[-1] == 0
    db.signal("view", 1)
    assert db.count("view", 1, "1h") == 3


def test_batch_reads_equal_point_reads(db: tidal.TidalDb) -> None:
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 500, 5000).astype(np.uint64)
    done = db.ingest(signal="view", entity_id=ids, timestamp=NOW - rng.integers(0, 8 * 24 * HOUR, 5000))
    assert (done.first_seq, done.last_seq, done.count, done.refused) == (1, 5000, 5000, ())
    asked = np.arange(600, dtype=np.uint64)
    assert db.scores("view", asked).tolist() == [db.score("view", i) for i in range(600)]
    for window in ("1h", "24h", "7d", "all"):
        assert db.counts("view", asked, window).tolist() == [db.count("view", i, window) for i in range(600)]
    assert db.velocities("view", asked, "24h").tolist() == [db.velocity("view", i, "24h") for i in range(600)]
    table = db.read("view")
    assert sorted(table["entity_id"].tolist()) == sorted(set(ids.tolist()))
    assert table["score"].tolist() == db.scores("view", table["entity_id"]).tolist()
    assert table["count.7d"].tolist() == db.counts("view", table["entity_id"], "7d").tolist()


def test_a_read_of_some_measures_makes_no_others(db: tidal.TidalDb) -> None:
    db.ingest(signal="view", entity_id=[1, 2, 2], timestamp=NOW)
    whole = db.read("view")
    some = db.read("view", measures=["velocity.1h", "score", "count.all"])
    assert list(some) == ["entity_id", "last_time", "velocity.1h", "score", "count.all"]
    assert all(some[name].tolist() == whole[name].tolist() for name in some)
    assert list(db.read("view", measures=[])) == ["entity_id", "last_time"]
    with pytest.raises(tidal.UnknownMeasure, match=r"'count.1y' is not a measure|1y"):
        db.read("view", measures=["count.1y"])
    for wrong in ("score", 5):
        with pytest.raises(tidal.InvalidOption, match=r'names in a list, as \["score"\]'):
            db.read("view", measures=wrong)


def test_top_and_rank(db: tidal.TidalDb) -> None:
    db.ingest(signal="view", entity_id=["a", "b", "b", "c", "c", "c"], timestamp=NOW)
    db.ingest(signal="like", entity_id=["a", "c"], weight=[10.0, 1.0])
    top = db.top("view", 2)
    assert list(top) == [("c", 3.0), ("b", 2.0)]
    assert top.keys == ["c", "b"]
    assert top.ids.dtype == np.uint64 and len(top) == 2
    assert list(db.top("view", 5, by="count.1h")) == [("c", 3.0), ("b", 2.0), ("a", 1.0)]
    assert list(db.top("like", 5, by="score.30d")) == [("a", 10.0), ("c", 1.0)]
    ranked = db.rank(["a", "b", "c", "nobody"], {"view.count.1h": 1.0, "like.score": 3.0})
    assert list(ranked)[:3] == [("a", 31.0), ("c", 6.0), ("b", 2.0)]
    assert ranked.values[3] == 0
    assert repr(top) == "Top('c': 3, 'b': 2)"
    with pytest.raises(tidal.SchemaError, match="one kind"):
        db.rank([1], {"view.score": 1.0, "follow.score": 1.0})


def test_keys_and_ids_are_the_same_entity(db: tidal.TidalDb) -> None:
    db.signal("view", "sku:85123A", user_id="alice")
    entity_id = int(db.top("view", 1).ids[0])
    assert db.key_of(entity_id) == "sku:85123A"
    assert db.score("view", entity_id) == db.score("view", "sku:85123A") == 1.0
    assert db.scores("view", ["sku:85123A", "other"]).tolist() == [1.0, 0.0]
    assert db.key_of(12345) is None
    db.items.put("sku:85123A", {"title": "a holder"})
    assert db.items.get(entity_id) == {"title": "a holder"}


def test_records_are_a_live_view_without_a_copy(db: tidal.TidalDb) -> None:
    db.ingest(signal="view", entity_id=np.arange(10, dtype=np.uint64))
    views = db.records("view")
    assert sum(len(view) for view in views) == 10
    assert all(not view.flags.writeable and not view.flags.owndata for view in views)
    owner = next(view for view in views if 3 in view["entity_id"])
    row = int(np.flatnonzero(owner["entity_id"] == 3)[0])
    # Growth by a hundred thousand entities moves nothing.
    db.ingest(signal="view", entity_id=np.arange(100_000, dtype=np.uint64))
    assert owner["total"][row] == 2
    assert owner["entity_id"][row] == 3


def test_times_may_be_written_in_many_ways(db: tidal.TidalDb) -> None:
    moment = datetime.fromtimestamp(NOW // 10**9, UTC)
    db.signal("view", 1, timestamp=moment)
    db.signal("view", 1, timestamp=np.datetime64(NOW, "ns"))
    db.signal("view", 1, timestamp=NOW)
    for at in (moment, np.datetime64(NOW, "ns"), NOW):
        assert db.score("view", 1, at=at) == 3.0
    for wrong in ("yesterday", 2**63 - 1, 1.5, np.datetime64("NaT", "ns")):
        with pytest.raises(tidal.InvalidEvent, match="at"):
            db.score("view", 1, at=wrong)


# ------------------------------------------------------------------------------ what is refused


def test_a_bad_batch_leaves_no_trace(db: tidal.TidalDb) -> None:
    with pytest.raises(tidal.InvalidEvent) as caught:
        db.ingest(signal="view", entity_id=[1, 2, 3], weight=[1.0, float("nan"), -1.0])
    assert (caught.value.row, caught.value.column) == (1, "weight")
    with pytest.raises(tidal.InvalidEvent, match="row 0, column 'timestamp'"):
        db.signal("view", 1, timestamp=NOW + 11 * 60 * 10**9)
    assert db.last_seq == 0
    assert len(db.top("view")) == 0
    done = db.ingest(signal="view", entity_id=[1, 2, 3], weight=[1.0, float("nan"), -1.0], on_error="skip")
    assert done.count == 1 and [row.row for row in done.refused] == [1, 2]
    assert db.count("view", 1, "all") == 1


def test_unknown_names_say_what_is_declared(db: tidal.TidalDb) -> None:
    with pytest.raises(tidal.UnknownSignalType, match="did you mean 'view'"):
        db.signal("veiw", 1)
    for read in (lambda: db.score("veiw", 1), lambda: db.read("veiw"), lambda: db.top("veiw")):
        with pytest.raises(tidal.UnknownSignalType):
            read()
    with pytest.raises(tidal.UnknownMeasure, match="declared: 24h, all"):
        db.count("like", 1, "1h")
    with pytest.raises(tidal.UnknownMeasure, match="velocity=True"):
        db.velocity("like", 1, "24h")
    with pytest.raises(tidal.UnknownMeasure, match="declared: 1d, 30d"):
        db.score("like", 1, half_life="7d")


def test_what_is_no_entity_is_refused_by_every_read(db: tidal.TidalDb) -> None:
    for wrong in (-1, 2**64, 1.5, None, b"key", True):
        for read in (
            lambda entity: db.score("view", entity),
            lambda entity: db.count("view", entity, "1h"),
            lambda entity: db.velocity("view", entity, "1h"),
        ):
            with pytest.raises(tidal.InvalidEntity):
                read(wrong)
        with pytest.raises(tidal.InvalidEvent, match="ids"):
            db.scores("view", [wrong])
    assert db.score("view", np.uint64(2**64 - 1)) == 0.0


def test_a_table_and_columns_do_not_mix(db: tidal.TidalDb) -> None:
    polars = pytest.importorskip("polars", reason="the test group installs polars")
    frame = polars.DataFrame({"entity_id": [1, 2], "weight": [1.0, 2.0]})
    assert db.ingest(frame, signal="view").count == 2
    assert db.score("view", 2) == 2.0
    with pytest.raises(tidal.InvalidEvent, match="beside a table"):
        db.ingest(frame, signal="view", weight=1.0)


def test_a_closed_database_says_so(clock: ManualClock) -> None:
    db = tidal.open(schema=SCHEMA, clock=clock)
    db.close()
    db.close()
    for call in (lambda: db.signal("view", 1), lambda: db.score("view", 1), lambda: db.top("view"), db.flush):
        with pytest.raises(tidal.StoreClosed):
            call()
    assert "closed" in repr(db)


# ------------------------------------------------------------------------------ stores on disk


def test_a_store_reopens_as_it_was(tmp_path: Path, clock: ManualClock) -> None:
    rng = np.random.default_rng(2)
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock) as db:
        for _ in range(3):
            ids = rng.integers(0, 300, 2000).astype(np.uint64)
            db.ingest(signal="view", entity_id=ids, timestamp=NOW - rng.integers(0, 9 * 24 * HOUR, 2000))
            db.checkpoint()
        db.signal("like", "named", user_id="somebody")
        digest, table = db._ledger.state_digest(), db.read("view")
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.recovery is not None and db.recovery.clean
        assert db.recovery.checkpoint_seq == db.last_seq == 6001
        assert db._ledger.state_digest() == digest
        again = db.read("view")
        assert all((again[name] == table[name]).all() for name in table)
        assert db.key_of(int(db.top("like", 1).ids[0])) == "named"
        assert db.signal("view", 1) == 6002


def test_without_a_checkpoint_the_log_gives_the_same_bytes(tmp_path: Path, clock: ManualClock) -> None:
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 300, 200_000).astype(np.uint64)
    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=None)
    db.ingest(
        signal="view",
        entity_id=ids,
        weight=rng.random(200_000),
        timestamp=NOW - np.arange(200_000)[::-1] * 10**9,
    )
    db.signal("view", "a key")
    digest = db._ledger.state_digest()
    db._release()  # as a kill would: no checkpoint is written
    with tidal.open(tmp_path / "s", clock=clock, shards=4) as db:
        assert db.recovery is not None
        assert (db.recovery.checkpoint_seq, db.recovery.replayed_events) == (0, 200_001)
        assert db._ledger.state_digest() == digest
        assert db.top("view", 1, by="count.1h").values[0] > 0
        assert db.key_of(entity_key_id("a key")) == "a key"


def test_another_number_of_shards_gives_the_same_answers(tmp_path: Path, clock: ManualClock) -> None:
    rng = np.random.default_rng(4)
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, shards=3) as db:
        db.ingest(
            signal="view",
            entity_id=rng.integers(0, 300, 9000).astype(np.uint64),
            timestamp=NOW - rng.integers(0, 9 * 24 * HOUR, 9000),
        )
        want = list(db.top("view", 300, by="count.24h")), list(db.top("view", 300))
    for shards in (1, 7):
        with tidal.open(tmp_path / "s", clock=clock, shards=shards) as db:
            assert (list(db.top("view", 300, by="count.24h")), list(db.top("view", 300))) == want


def test_checkpoints_come_by_themselves(tmp_path: Path, clock: ManualClock) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=2000) as db:
        for _ in range(5):
            db.ingest(signal="view", entity_id=np.random.default_rng(5).integers(0, 2**63, 200))
        with db._upkeep._checkpointing:  # the one that is being written, if any, has ended
            assert db.stats()["checkpoint_seq"] >= 200
    assert len(list((tmp_path / "s" / "checkpoints").glob("*.ckpt"))) == 2


def test_a_large_state_is_copied_beside_ingest(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_state, threads = upkeep.copy_state, set()

    def noted(*arguments: Any) -> Any:
        threads.add(threading.current_thread().name)
        return copy_state(*arguments)

    monkeypatch.setattr(upkeep, "_AT_ONCE_ENTITIES", 50)
    monkeypatch.setattr(upkeep, "copy_state", noted)
    rng = np.random.default_rng(6)
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=2000) as db:
        for _ in range(40):
            db.ingest(signal="view", entity_id=rng.integers(0, 1000, 200), weight=rng.random(200))
        with db._upkeep._checkpointing:
            saved = db.stats()["checkpoint_seq"]
        assert saved >= 200
        assert threads == {"tidal-checkpoint"}
        digest = db._ledger.state_digest()
        db._release()
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.recovery is not None and db.recovery.checkpoint_seq == saved
        assert db._ledger.state_digest() == digest


def test_a_copy_that_fails_beside_ingest_is_told_and_tried_again(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "_AT_ONCE_ENTITIES", 0)

    def fail(*arguments: object) -> None:
        raise MemoryError("no memory to save a shard")

    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=1) as db:
        with monkeypatch.context() as patch:
            patch.setattr(upkeep, "copy_state", fail)
            assert db.signal("view", 1) == 1
            with db._upkeep._checkpointing:
                pass
        assert "no checkpoint could be begun: no memory" in caplog.text
        assert "no memory to save a shard" in db.stats()["checkpoint_error"]
        assert db.signal("view", 1) == 2
        with db._upkeep._checkpointing:
            assert db.stats()["checkpoint_seq"] == 2
        assert db.stats()["checkpoint_error"] is None


@pytest.mark.parametrize("entities_at_once", [0, 100])
def test_no_memory_for_the_file_of_a_copy_is_told_and_tried_again(
    entities_at_once: int, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_AT_ONCE_ENTITIES", entities_at_once)

    def fail(*arguments: object) -> None:
        raise MemoryError("no memory to add up the columns")

    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=1) as db:
        with monkeypatch.context() as patch:
            patch.setattr(upkeep, "save_checkpoint", fail)
            db.signal("view", 1)
            with db._upkeep._checkpointing:
                assert "no memory to add up" in db.stats()["checkpoint_error"]
        assert db.checkpoint() == 1
        assert db.stats()["checkpoint_error"] is None


@pytest.mark.parametrize("entities_at_once", [0, 100])
def test_a_materializer_whose_state_cannot_be_saved_is_told_and_tried_again(
    entities_at_once: int,
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(upkeep, "_AT_ONCE_ENTITIES", entities_at_once)

    class Odd:
        state: object = "no bytes"

        def on_events(self, batch: tidal.EventBatch) -> None:
            pass

        def checkpoint(self) -> Any:
            return self.state

        def restore(self, state: bytes) -> None:
            pass

    odd = Odd()
    options: dict[str, Any] = {"checkpoint_bytes": 1, "materializers": {"odd": odd}}
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, **options) as db:
        db.signal("view", 1)
        with db._upkeep._checkpointing:
            assert "'str' object" in db.stats()["checkpoint_error"]
        assert "a checkpoint failed" in caplog.text
        assert [reason.code for reason in db.health().reasons] == ["checkpoint_failed"]
        odd.state = b""
        assert db.checkpoint() == 1
        assert db.stats()["checkpoint_error"] is None


def test_nothing_is_copied_where_no_checkpoint_would_come_of_it(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it when a database in memory is closed, or one that was only read."""
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock) as db:
        db.signal("view", 1)

    def fail(*arguments: object) -> None:
        raise AssertionError("the state was copied")

    monkeypatch.setattr(upkeep, "copy_state", fail)
    with tidal.open(schema=SCHEMA, clock=clock) as db:
        assert db.signal("view", 1) == db.checkpoint() == 1
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.checkpoint() == 1


def test_an_event_is_not_refused_because_no_checkpoint_can_be_made(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, checkpoint_bytes=1)

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert db.signal("view", 1) == 1
    assert "can't start new thread" in caplog.text
    assert "can't start new thread" in db.stats()["checkpoint_error"]
    assert db.checkpoint() == 1
    assert db.stats()["checkpoint_error"] is None
    db.close()


@pytest.mark.parametrize(
    ("step", "error", "goes_on"),
    [
        ("_log.append", tidal.NoSpace(28, "write"), True),
        ("_log.append", KeyboardInterrupt(), False),
        ("_ledger.apply", KeyboardInterrupt(), False),
        ("_ledger.apply", MemoryError(), False),
    ],
)
def test_a_store_goes_on_only_if_log_and_state_surely_agree(
    tmp_path: Path, clock: ManualClock, step: str, error: BaseException, goes_on: bool
) -> None:
    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock)
    fail_a_step(db, step, error)
    if goes_on:
        assert db.signal("view", 1) == 1
    else:
        with pytest.raises(tidal.StorePoisoned, match="open it again"):
            db.signal("view", 1)
    db.close()
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.count("view", 1, "all") == db.last_seq
        assert db.signal("view", 1) == db.last_seq


def test_a_schema_may_grow_and_nothing_else(tmp_path: Path, clock: ManualClock) -> None:
    base = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",))
    with tidal.open(tmp_path / "s", schema=base.build(), clock=clock) as db:
        db.signal("view", 1)
    grown = tidal.SchemaBuilder().signal("skip").signal("view", half_life="7d", windows=("1h",)).build()
    with tidal.open(tmp_path / "s", schema=grown, clock=clock) as db:
        db.signal("skip", 1)
        assert (db.count("view", 1, "1h"), db.count("skip", 1, "all")) == (1, 1)
    changed = tidal.SchemaBuilder().signal("skip").signal("view", half_life="1d", windows=("1h",)).build()
    for read_only in (False, True):
        with pytest.raises(tidal.SchemaMismatch, match="view: half_life 7d -> 1d"):
            tidal.open(tmp_path / "s", schema=changed, clock=clock, read_only=read_only)
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.schema.names == ("view", "skip")


def test_one_writer_and_any_number_of_readers(tmp_path: Path, clock: ManualClock) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock) as db:
        db.signal("view", 1)
        with pytest.raises(tidal.StoreLocked, match="read_only=True"):
            tidal.open(tmp_path / "s", clock=clock)
        before = snapshot(tmp_path / "s")
        with tidal.open(tmp_path / "s", clock=clock, read_only=True) as reader:
            assert reader.count("view", 1, "1h") == 1
            for write in (lambda: reader.signal("view", 1), reader.checkpoint):
                with pytest.raises(tidal.ReadOnly):
                    write()
        assert snapshot(tmp_path / "s") == before
        assert db.signal("view", 1) == 2
    with tidal.open(tmp_path / "s", clock=clock) as db:
        assert db.last_seq == 2


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_what_cannot_be_opened(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(tidal.StoreMissing, match="schema="):
        tidal.open(tmp_path / "none")
    with pytest.raises(tidal.StoreMissing, match="nothing to read"):
        tidal.open(tmp_path / "none", schema=SCHEMA, read_only=True)
    assert not (tmp_path / "none").exists()
    with pytest.raises(tidal.SchemaError, match="in memory"):
        tidal.open()
    with pytest.raises(tidal.ReadOnly):
        tidal.open(schema=SCHEMA, read_only=True)
    with pytest.raises(ValueError, match="clock"):
        tidal.open(schema=SCHEMA, clock="wall")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sync"):
        tidal.open(tmp_path / "none", schema=SCHEMA, sync="perhaps")


def test_the_event_clock_lives_in_the_past(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock="event") as db:
        db.ingest(signal="view", entity_id=[1, 1, 2], timestamp=[NOW - 2 * HOUR, NOW, NOW])
        assert db.now() == NOW
        assert db.count("view", 1, "1h") == 1
        assert db.count("view", 1, "24h") == 2
        with pytest.raises(tidal.InvalidEvent):
            db.signal("view", 1, timestamp=2**62 - 1)
    with tidal.open(tmp_path / "s", clock="event", max_future_skew=None) as db:
        db.signal("view", 1, timestamp=2**62 - 1)
        assert db.count("view", 1, "7d") == 1


def test_an_error_in_the_block_outlives_one_of_closing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(db: tidal.TidalDb) -> int:
        raise tidal.NoSpace(28, "the disk is full")

    monkeypatch.setattr(tidal.TidalDb, "checkpoint", full)
    with pytest.raises(ZeroDivisionError) as caught, tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock):
        raise ZeroDivisionError
    assert "the disk is full" in caught.value.__notes__[0]
    with pytest.raises(tidal.NoSpace), tidal.open(tmp_path / "s", clock=clock):
        pass


def test_a_clock_in_seconds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ns since the epoch"):
        tidal.open(tmp_path / "s", schema=SCHEMA, clock=time.time)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("schema", "said"), [(tidal.SchemaBuilder().signal("view"), "finish it with .build()"), ({}, "a dict")]
)
def test_what_is_no_schema_is_named(schema: Any, said: str) -> None:
    with pytest.raises(tidal.SchemaError, match=said):
        tidal.open(schema=schema)


def test_rank_refuses_what_would_rank_wrong(db: tidal.TidalDb) -> None:
    with pytest.raises(ValueError, match="k is -1"):
        db.rank([1, 2, 3], {"view.score": 1.0}, k=-1)
    for weight in (float("nan"), float("inf"), "1", None):
        with pytest.raises(ValueError, match=r"the weight of 'view\.score'"):
            db.rank([1, 2, 3], {"view.score": weight})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda db: db.key_of("a"), tidal.InvalidEntity, "'a' is not an id; key_of"),
        (lambda db: db.key_of(-1), tidal.InvalidEntity, "-1 is not an id"),
        (lambda db: db.key_of(1, kind=["item"]), tidal.InvalidKind, "there are item, user, creator"),
        (lambda db: db.top("view", by=None), tidal.UnknownMeasure, "None is not a measure"),
        (lambda db: db.top("view", "ten"), tidal.InvalidOption, "k is 'ten'; it must be an integer"),
        (lambda db: db.top("view", -1), tidal.InvalidOption, "k is -1; it must not be negative"),
        (lambda db: db.rank([1], {"view.score": 1}, k=2.5), tidal.InvalidOption, "k is 2.5"),
        (lambda db: db.rank([1], ["view.score"]), tidal.InvalidOption, "a weight by measure"),
        (lambda db: db.rank([1], {7: 1.0}), tidal.UnknownMeasure, "7 is not a measure"),
        (lambda db: db.ingest(polars.DataFrame({"a": [1]}), columns="a"), tidal.InvalidEvent, "a mapping"),
        (
            lambda db: db.ingest(signal="view", entity_id=1, columns={}),
            tidal.InvalidEvent,
            "no table is given",
        ),
        (lambda _: tidal.open(schema=SCHEMA, shards=0), tidal.InvalidOption, "shards=0"),
        (lambda _: tidal.open(schema=SCHEMA, clock="wall"), tidal.InvalidOption, "clock='wall'"),
        (lambda _: tidal.open(schema=SCHEMA, checkpoint_bytes="1M"), tidal.InvalidOption, "checkpoint_bytes"),
        (lambda _: tidal.open(schema=SCHEMA, materializers=["m"]), tidal.InvalidOption, "give each a name"),
    ],
)
def test_misuse_is_named(db: tidal.TidalDb, call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call(db)


def test_a_forked_child_may_not_use_the_store(tmp_path: Path, clock: ManualClock) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock) as db:
        db.signal("view", 1)
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (lambda: db.signal("view", 1), lambda: db.items.get(1), lambda: db.items.put(1, {})):
                try:
                    call()
                except tidal.StoreClosed:
                    refused += 1
            os._exit(7 if refused == 3 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert db.signal("view", 1) == 2


def test_threads_ingest_and_read_together(tmp_path: Path, clock: ManualClock) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, clock=clock, sync="os", checkpoint_bytes=50_000) as db:
        failures: list[BaseException] = []

        def work(seed: int) -> None:
            rng = np.random.default_rng(seed)
            try:
                for _ in range(20):
                    ids = rng.integers(0, 1000, 3000).astype(np.uint64)
                    db.ingest(
                        signal="view", entity_id=ids, timestamp=NOW - rng.integers(0, 8 * 24 * HOUR, 3000)
                    )
                    assert db.count("view", int(ids[0]), "all") > 0
                    assert len(db.top("view", 5)) == 5
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert db.last_seq == int(db.read("view")["count.all"].sum()) == 180_000
        live = {
            name: db.top("view", 1000, by=name) for name in ("count.1h", "count.24h", "count.7d", "score")
        }
    with tidal.open(tmp_path / "s", clock=clock) as db:
        for name, top in live.items():
            again = db.top("view", 1000, by=name)
            if name == "score":  # sums of several threads agree but for rounding
                np.testing.assert_allclose(again.values, top.values, rtol=1e-12)
            else:
                assert again.ids.tolist() == top.ids.tolist()
                assert again.values.tolist() == top.values.tolist()


def test_an_interrupted_close_frees_the_store_only_when_the_log_is_closed(tmp_path: Path) -> None:
    """Else another process could write while the log's own thread still does."""
    db = tidal.open(tmp_path / "s", schema=SCHEMA)
    db.signal("view", 1)
    done: list[str] = []
    close, release = db._log.close, db._disk.lock.release

    def closing() -> None:
        if not done:
            done.append("interrupted")
            raise KeyboardInterrupt
        close()
        done.append("closed")

    db._log.close = closing
    object.__setattr__(db._disk, "lock", SimpleNamespace(release=lambda: (done.append("freed"), release())))
    with pytest.raises(KeyboardInterrupt):
        db.close()
    assert done == ["interrupted", "closed", "freed"]
    with tidal.open(tmp_path / "s", recovery="absolute") as db:
        assert db.recovery.clean_shutdown and db.last_seq == 1
