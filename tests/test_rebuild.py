"""rebuild(): the same events under another schema are what a fresh store of that schema would hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worn import EVENTS, ROUNDS, SCHEMA, files_of, fill, make_store

import tidal
from tidal.durable import OsFileSystem
from tidal.errors import InvalidOption, MissingSegment, SchemaError, StoreMissing
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.inspect import verify
from tidal.schema import EventBatch, Schema, schema_to_json
from tidal.store import StorePaths, load_store
from tidal.testing.strategies import events, schemas, to_batch

LAST = ROUNDS * EVENTS
CHANGED = (
    tidal.SchemaBuilder()
    .signal("share", half_life="1d")  # new, and first: every id is another
    .signal("follow", kind="creator", half_life="30d")
    .signal("like", half_life=("1d", "3d"), windows=("7d",), signed=True)
    .signal("view", half_life="3d", windows=("1h",))
    .build()
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("worn") / "store")


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


def history(store: Path, after_seq: int = 0) -> list[tuple[int, EventBatch]]:
    fs, paths = OsFileSystem(), StorePaths(store)
    identity = LogIdentity(load_store(fs, paths).store_id, 0)
    return list(read_history(fs, paths, identity=identity, after_seq=after_seq))


def rows(store: Path, after_seq: int = 0) -> list[tuple[object, ...]]:
    """Every event in order, its type by name."""
    schema = load_store(OsFileSystem(), StorePaths(store)).schema
    return [
        (seq, schema.by_id(type_id).name, *rest)
        for first, batch in history(store, after_seq)
        for seq, type_id, *rest in zip(
            range(first, first + len(batch)),
            batch.type_id.tolist(),
            batch.entity_id.tolist(),
            batch.weight.tolist(),
            batch.timestamp.tolist(),
            batch.user_id.values.tolist() if batch.user_id else [None] * len(batch),
            strict=True,
        )
    ]


def fresh(store: Path, schema: Schema) -> tidal.SignalLedger:
    """The twin: a ledger of that schema fed the store's events."""
    old = load_store(OsFileSystem(), StorePaths(store)).schema
    ledger = tidal.SignalLedger(schema)
    for _, batch in history(store):
        ids = np.array([schema.signal(old.by_id(t).name).type_id for t in batch.type_id.tolist()], np.uint8)
        ledger.apply(replace(batch, type_id=ids))
    return ledger


def test_another_schema_over_the_same_events(store: Path, tmp_path: Path) -> None:
    files, target = files_of(store), tmp_path / "new"
    report = tidal.rebuild(store, target, schema=CHANGED)
    assert files_of(store) == files
    assert (report.events, report.first_seq, report.last_seq) == (LAST, 1, LAST)
    assert (report.dropped, report.same_sequences) == ({}, True)
    assert rows(target) == rows(store)
    with tidal.open(target, read_only=True, clock="event") as db:
        assert db.schema == CHANGED
        assert db._ledger.state_digest() == fresh(store, CHANGED).state_digest()
        assert db.items.get("item3") == {"title": "The title of item 3"}
        assert set(db.top("view", 3).keys) <= {f"item{n}" for n in range(25)}
    assert verify(target).findings == ()
    assert json.loads((target / "origin.json").read_text()) == report.to_dict()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_it_equals_a_fresh_store(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("rebuild")
    old = data.draw(schemas())
    changed = tidal.SchemaBuilder()
    for signal in data.draw(st.permutations(list(old))):
        half_lives = data.draw(st.lists(st.sampled_from(("90s", "36h", "30d")), max_size=3, unique=True))
        windows = data.draw(st.sets(st.sampled_from(("1h", "24h", "7d"))))
        changed.signal(
            signal.name, kind=signal.kind, half_life=half_lives, windows=windows, signed=signal.signed
        )
    new = changed.build()
    with tidal.open(folder / "a", schema=old, clock="event", sync="os", max_future_skew=None) as db:
        for _ in range(data.draw(st.integers(1, 3))):
            batch = to_batch(old, data.draw(events(old)))
            if len(batch):
                db._take_over(batch)
    report = tidal.rebuild(folder / "a", folder / "b", schema=new)
    assert report.same_sequences
    with tidal.open(folder / "b", read_only=True, clock="event") as db:
        assert db._ledger.state_digest() == fresh(folder / "a", new).state_digest()
    assert rows(folder / "b") == rows(folder / "a")


def test_a_type_is_dropped_only_if_that_is_said(store: Path, tmp_path: Path) -> None:
    without = tidal.SchemaBuilder().signal("view", half_life="3d").signal("follow", kind="creator").build()
    with pytest.raises(SchemaError, match="like: not in the given schema"):
        tidal.rebuild(store, tmp_path / "new", schema=without)
    report = tidal.rebuild(store, tmp_path / "new", schema=without, drop=["like"])
    kept = [row for row in rows(store) if row[1] != "like"]
    assert report.dropped == {"like": LAST - len(kept)}
    assert not report.same_sequences
    assert [row[1:] for row in rows(tmp_path / "new")] == [row[1:] for row in kept]


def test_names_of_dropped_events_stay(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", checkpoint_bytes=None) as db:
        db.signal("like", "only liked", timestamp=10**18)
        db.signal("view", "seen", timestamp=10**18)
        shutil.copytree(tmp_path / "a", tmp_path / "killed")  # the log alone knows the names
    view = tidal.SchemaBuilder().signal("view").build()
    tidal.rebuild(tmp_path / "killed", tmp_path / "b", schema=view, drop=["like", "follow"])
    with tidal.open(tmp_path / "b", read_only=True) as db:
        assert db.key_of(db.items.id_of("only liked")) == "only liked"


@pytest.mark.parametrize(
    ("builder", "drop", "what"),
    [
        (tidal.SchemaBuilder().signal("view").signal("like").signal("follow", kind="creator"), (), "signed"),
        (tidal.SchemaBuilder().signal("view").signal("like", signed=True).signal("follow"), (), "kind"),
        (tidal.SchemaBuilder().signal("view"), ("like", "follow", "hate"), "hate: to be dropped"),
        (tidal.SchemaBuilder().signal("view").signal("like", signed=True), ("follow", "like"), "declared"),
    ],
)
def test_changes_that_are_refused(
    store: Path, tmp_path: Path, builder: tidal.SchemaBuilder, drop: tuple[str, ...], what: str
) -> None:
    with pytest.raises(SchemaError, match=what):
        tidal.rebuild(store, tmp_path / "new", schema=builder.build(), drop=drop)
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.unfinished").exists()


def test_a_history_without_its_beginning_is_refused_unless_that_is_said(store: Path, tmp_path: Path) -> None:
    with tidal.open(store, clock="event", retain=1) as db:
        fill(db, ROUNDS)
        db.marks.remove("follower")
        db.archive()
    with pytest.raises(MissingSegment) as caught:
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED)
    assert any("--partial" in note for note in caught.value.__notes__)
    report = tidal.rebuild(store, tmp_path / "new", schema=CHANGED, partial=True)
    assert report.first_seq > 1 and not report.same_sequences
    assert report.events == report.last_seq - report.first_seq + 1
    left = rows(store, after_seq=report.first_seq - 1)
    assert [row[1:] for row in rows(tmp_path / "new")] == [row[1:] for row in left]


def test_a_lost_end_is_no_success(store: Path, tmp_path: Path) -> None:
    sorted((store / "wal").glob("*.seg"))[-1].unlink()
    with pytest.raises(MissingSegment):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED)
    assert not (tmp_path / "new").exists()


def test_a_lost_end_of_a_store_that_was_not_closed_is_no_success_either(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", archive=False) as db:
        fill(db, 0)
        db.checkpoint()
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
    (segment,) = (tmp_path / "killed" / "wal").glob("*.seg")
    segment.write_bytes(segment.read_bytes()[:1000])
    with pytest.raises(MissingSegment):
        tidal.rebuild(tmp_path / "killed", tmp_path / "new", schema=CHANGED)


def test_an_interrupted_run_leaves_no_store_of_that_name(store: Path, tmp_path: Path) -> None:
    def stop(done: int, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED, progress=stop)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InvalidOption, match="interrupted"):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"source": 3}, InvalidOption), ({"source": ""}, InvalidOption), ({"target": None}, InvalidOption),
        ({"target": ""}, InvalidOption), ({"schema": None}, SchemaError), ({"schema": 3}, SchemaError),
        ({"schema": tidal.SchemaBuilder().signal("view")}, SchemaError), ({"drop": "like"}, InvalidOption),
        ({"drop": None}, InvalidOption), ({"partial": "no"}, InvalidOption),
    ],
)  # fmt: skip
def test_a_value_that_an_argument_does_not_take(
    store: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    arguments: dict[str, Any] = {"source": store, "target": tmp_path / "new", "schema": CHANGED} | options
    with pytest.raises(error, match=next(iter(options))):
        tidal.rebuild(arguments.pop("source"), arguments.pop("target"), **arguments)
    assert not (tmp_path / "new.unfinished").exists()


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        tidal.rebuild(tmp_path / "nothing", tmp_path / "new", schema=CHANGED)


def test_progress_ends_at_the_whole(store: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    tidal.rebuild(store, tmp_path / "new", schema=CHANGED, progress=lambda *now: seen.append(now))
    assert seen[-1] == (LAST, 1.0)
    assert [share for _, share in seen] == sorted(share for _, share in seen)


def test_a_type_is_added_to_a_live_store_that_has_an_archive(store: Path) -> None:
    more = tidal.SchemaBuilder()
    more.signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    more.signal("like", half_life="30d", signed=True).signal("follow", kind="creator")
    schema = more.signal("share", half_life="1d").build()
    with tidal.open(store, schema=schema, clock="event") as db:
        db.signal("share", "item1", timestamp=db.now())
        assert db.last_seq == LAST + 1
    with tidal.open(store, clock="event") as db:
        db.archive()
        assert db.score("share", "item1", at=db.now()) == 1.0
        digest = db._ledger.state_digest()
    assert fresh(store, schema).state_digest() == digest
    assert verify(store).findings == ()


def test_damage_is_not_the_end_of_a_source_that_was_not_closed(tmp_path: Path) -> None:
    """Batches behind the damage say that it was durable: what opening refuses is not left out quietly."""
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", archive=False) as db:
        for n in range(5):
            db.ingest(signal="view", entity_id=[n, n])
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
    (segment,) = (tmp_path / "killed" / "wal").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[300] ^= 1
    segment.write_bytes(data)
    with pytest.raises(tidal.CorruptLog, match="were durable"):
        tidal.rebuild(tmp_path / "killed", tmp_path / "new", schema=CHANGED)
    assert not (tmp_path / "new").exists()


# ------------------------------------------------------------------------------------ resuming


class Stopped(Exception):
    """Stands for the end of the process."""


def interrupt_at(least: int) -> Any:
    def progress(events: int, share: float) -> None:
        if events >= least:
            raise Stopped

    return progress


@pytest.mark.parametrize("drop", [(), ("like",)])
@pytest.mark.parametrize("stops", [(1,), (70,), (LAST,), (70, 200)])
def test_an_interrupted_rebuild_goes_on(
    store: Path, tmp_path: Path, drop: tuple[str, ...], stops: tuple[int, ...]
) -> None:
    builder = tidal.SchemaBuilder().signal("view", half_life="3d").signal("follow", kind="creator")
    schema = builder.build() if drop else CHANGED
    for number, stop in enumerate(stops):
        with pytest.raises(Stopped):
            tidal.rebuild(
                store, tmp_path / "new", schema=schema, drop=drop, resume=number > 0,
                progress=interrupt_at(stop),
            )  # fmt: skip
    report = tidal.rebuild(store, tmp_path / "new", schema=schema, drop=drop, resume=True)
    fresh = tidal.rebuild(store, tmp_path / "fresh", schema=schema, drop=drop)
    assert (report.events, report.dropped) == (fresh.events, fresh.dropped)
    assert rows(tmp_path / "new") == rows(tmp_path / "fresh")
    assert not (tmp_path / "new" / "started.json").exists()
    assert not verify(tmp_path / "new").findings
    best = []
    for name in ("new", "fresh"):
        with tidal.open(tmp_path / name, clock="event", read_only=True) as db:
            best.append(list(db.top("view", 30)))
    assert best[0] == best[1]


KILLED = """
import os, signal, sys
import tidal
from tidal.schema import schema_from_json

def progress(events, share):
    if events >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

with open(sys.argv[3], "rb") as text:
    schema = schema_from_json(text.read())
tidal.rebuild(sys.argv[1], sys.argv[2], schema=schema, resume=True, progress=progress)
"""


def test_a_killed_rebuild_goes_on(store: Path, tmp_path: Path) -> None:
    """Nobody closes what it has open: its log ends where the last write did."""
    (tmp_path / "schema.json").write_bytes(schema_to_json(CHANGED))
    for least in (1, 70, 71, 200, LAST):
        arguments = map(str, (store, tmp_path / "new", tmp_path / "schema.json", least))
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *arguments], cwd=Path(__file__).parents[1], check=False
        )
        assert killed.returncode == -SIGKILL
        assert not (tmp_path / "new").exists()
    report = tidal.rebuild(store, tmp_path / "new", schema=CHANGED, resume=True)
    assert report.events == LAST
    tidal.rebuild(store, tmp_path / "fresh", schema=CHANGED)
    assert rows(tmp_path / "new") == rows(tmp_path / "fresh")
    assert not verify(tmp_path / "new").findings
    with tidal.open(tmp_path / "new", clock="event", read_only=True) as db:
        assert db._ledger.state_digest() == fresh(store, CHANGED).state_digest()


def test_only_the_same_rebuild_goes_on(store: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED, progress=interrupt_at(70))
    other = tidal.SchemaBuilder().signal("view").signal("like", signed=True).signal("follow", kind="creator")
    with pytest.raises(InvalidOption, match="of another run"):
        tidal.rebuild(store, tmp_path / "new", schema=other.build(), resume=True)
    with pytest.raises(InvalidOption, match="remove it"):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED)
    (tmp_path / "new.unfinished" / "started.json").unlink()
    with pytest.raises(InvalidOption, match="of another run"):
        tidal.rebuild(store, tmp_path / "new", schema=CHANGED, resume=True)
    with pytest.raises(InvalidOption):
        tidal.rebuild(store, tmp_path / "newer", schema=CHANGED, resume=1)  # type: ignore[arg-type]


def test_resuming_what_was_not_begun_begins_it(store: Path, tmp_path: Path) -> None:
    assert tidal.rebuild(store, tmp_path / "new", schema=CHANGED, resume=True).events == LAST
