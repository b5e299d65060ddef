"""salvage(): everything that can be proven, in order, each event once, and a report that adds up."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worn import EVENTS, ROUNDS, SCHEMA, files_of, fill, make_store

import tidal
from tidal.durable import OsFileSystem
from tidal.errors import CorruptStore, InvalidOption, SchemaError, StoreMissing
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.inspect import verify
from tidal.salvage import _Writer
from tidal.schema import EventBatch
from tidal.store import StorePaths, load_store

LAST = ROUNDS * EVENTS
Event = tuple[int, int, float, int]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("worn") / "store")


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


def events_of(store: Path) -> dict[int, Event]:
    """Every event by its sequence."""
    fs, paths = OsFileSystem(), StorePaths(store)
    identity = LogIdentity(load_store(fs, paths).store_id, 0)
    found: dict[int, Event] = {}
    for first, batch in read_history(fs, paths, identity=identity):
        columns = (batch.entity_id, batch.type_id, batch.weight, batch.timestamp)
        for row, event in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            found[first + row] = event
    return found


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x11
    path.write_bytes(data)


def check(report: tidal.SalvageReport, before: dict[int, Event], target: Path) -> None:
    """The report accounts for every event of the source, and the new store holds what it says."""
    after = events_of(target)
    assert sorted(after) == list(range(1, report.events + 1))
    accounted: set[int] = set()
    for first, last, new_first in report.moved:
        for seq in range(first, last + 1):
            assert after[new_first + seq - first] == before[seq]
            accounted.add(seq)
    assert len(accounted) == report.events
    for first, last in report.lost:
        lost = set(range(first, last + 1))
        assert not lost & accounted
        accounted |= lost
    assert accounted == set(before)
    assert json.loads((target / "origin.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    assert verify(target).findings == ()


def test_a_good_store_is_saved_whole(store: Path, tmp_path: Path) -> None:
    before, files = events_of(store), files_of(store)
    target = tmp_path / "new"
    report = tidal.salvage(store, target)
    assert (report.events, report.lost, report.skipped) == (LAST, [], [])
    check(report, before, target)
    assert files_of(store) == files
    with (
        tidal.open(store, read_only=True, clock="event") as old,
        tidal.open(target, read_only=True, clock="event") as new,
    ):
        assert new.items.get("item3") == {"title": "The title of item 3"}
        assert new.top("view", 5).keys == old.top("view", 5).keys
        assert new._ledger.state_digest() == old._ledger.state_digest()
        assert new.schema == old.schema
    assert load_store(OsFileSystem(), StorePaths(target)).store_id.hex() != report.store_id


def test_random_damage_loses_what_it_hit_and_no_more(store: Path, tmp_path: Path) -> None:
    before = events_of(store)
    rng = random.Random(3)
    names = [name for name in files_of(store) if name.endswith((".seg", ".arc"))]
    for trial in range(12):
        broken = Path(shutil.copytree(store, tmp_path / f"broken{trial}"))
        for _ in range(rng.randrange(1, 4)):
            path = broken / rng.choice(names)
            flip(path, rng.randrange(path.stat().st_size))
        if rng.random() < 0.3:
            (broken / rng.choice(names)).unlink()
        files = files_of(broken)
        report = tidal.salvage(broken, tmp_path / f"saved{trial}")
        check(report, before, tmp_path / f"saved{trial}")
        assert files_of(broken) == files
        assert report.lost_events + report.events == LAST
        assert report.events > 0


def test_a_damaged_batch_is_skipped_and_named(store: Path, tmp_path: Path) -> None:
    path = sorted((store / "wal").glob("*.seg"))[0]
    flip(path, 300)
    before = events_of(original_of(store, path))
    report = tidal.salvage(store, tmp_path / "new")
    assert report.lost == [(241, 250)]
    assert [moved[:2] for moved in report.moved] == [(1, 240), (251, 360)]
    (finding,) = report.skipped
    assert (finding.file, finding.first_seq, finding.last_seq) == (f"wal/{path.name}", 241, 250)
    check(report, before, tmp_path / "new")


def original_of(store: Path, path: Path) -> Path:
    whole = Path(shutil.copytree(store, store.with_name("whole")))
    flip(whole / "wal" / path.name, 300)
    return whole


def test_it_needs_neither_identity_nor_manifests(store: Path, tmp_path: Path) -> None:
    before = events_of(store)
    for name in ("store.json", "schema.json", "wal/manifest.json", "archive/manifest.json"):
        (store / name).unlink()
    for path in (store / "checkpoints").iterdir():
        path.unlink()
    report = tidal.salvage(store, tmp_path / "new")
    assert report.lost == []
    check(report, before, tmp_path / "new")


def test_without_schema_and_archive_the_schema_must_be_given(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", rounds=2, archive=False)
    before = events_of(store)
    (store / "schema.json").unlink()
    with pytest.raises(SchemaError, match="--schema"):
        tidal.salvage(store, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    report = tidal.salvage(store, tmp_path / "new", schema=SCHEMA)
    check(report, before, tmp_path / "new")


def test_events_of_undeclared_types_are_left_out_and_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", rounds=1, archive=False)
    before = events_of(store)
    smaller = tidal.SchemaBuilder().signal("view").signal("like", signed=True).build()
    report = tidal.salvage(store, tmp_path / "new", schema=smaller)
    follows = [seq for seq, event in before.items() if event[1] == 2]
    assert report.events == len(before) - len(follows)
    unknown = [finding for finding in report.skipped if finding.code == "unknown-type"]
    assert [(finding.first_seq, finding.last_seq) for finding in unknown] == [(21, 30), (51, 60)]


def test_an_archive_folder_alone_will_do(store: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copytree(store / "archive", tmp_path / "backup"))
    report = tidal.salvage(backup, tmp_path / "new")
    assert report.events == 240
    with tidal.open(tmp_path / "new", read_only=True, clock="event") as db:
        assert db.schema == SCHEMA
        assert db.key_of(int(db.top("view", 1).ids[0])) is not None


def test_what_the_archive_has_mends_the_log(tmp_path: Path) -> None:
    """A segment that was archived and not removed yet, and is damaged: the archive's copy is taken."""
    store = make_store(tmp_path / "store", rounds=4, archive=False)
    before = events_of(store)
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    with tidal.open(copy, clock="event") as db:
        db.archive()
    shutil.copytree(copy / "archive", store / "archive", dirs_exist_ok=True)
    flip(sorted((store / "wal").glob("*.seg"))[0], 300)
    report = tidal.salvage(store, tmp_path / "new")
    assert report.lost == []
    check(report, before, tmp_path / "new")


def test_a_damaged_row_of_the_entities_costs_that_row(store: Path, tmp_path: Path) -> None:
    path = store / "entities.sqlite"
    flip(path, path.read_bytes().index(b"The title of item 2"))
    report = tidal.salvage(store, tmp_path / "new")
    assert report.entity_records_damaged == 1
    assert any("item" in finding.what or "CRC" in finding.what for finding in report.skipped)
    with tidal.open(tmp_path / "new", read_only=True) as db:
        assert db.items.get("item2") is None
        assert db.items.get("item3") == {"title": "The title of item 3"}


def test_a_lost_end_is_known_from_what_else_there_is(store: Path, tmp_path: Path) -> None:
    sorted((store / "wal").glob("*.seg"))[-1].unlink()
    (store / "wal" / "manifest.json").unlink()
    assert tidal.salvage(store, tmp_path / "new").lost == [(301, 360)]


@pytest.mark.parametrize("wrong", [3, None, "", b"s", "a\0b"])
def test_folders_that_are_none(store: Path, tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="target="):
        tidal.salvage(store, wrong)
    with pytest.raises(InvalidOption, match="source="):
        tidal.salvage(wrong, tmp_path / "new")


def test_targets_that_are_refused(store: Path, tmp_path: Path) -> None:
    files = files_of(store)
    (tmp_path / "there").mkdir()
    with pytest.raises(InvalidOption, match="exists"):
        tidal.salvage(store, tmp_path / "there")
    with pytest.raises(InvalidOption, match="lies in"):
        tidal.salvage(store, store / "new")
    (tmp_path / "new.unfinished").mkdir()
    with pytest.raises(InvalidOption, match="interrupted"):
        tidal.salvage(store, tmp_path / "new")
    with pytest.raises(StoreMissing):
        tidal.salvage(tmp_path / "nothing", tmp_path / "other")
    with pytest.raises(CorruptStore, match="nothing can be salvaged"):
        tidal.salvage(tmp_path / "there", tmp_path / "other")
    assert files_of(store) == files


def test_an_interrupted_run_leaves_no_store_of_that_name(store: Path, tmp_path: Path) -> None:
    def stop(events: int, share: float) -> None:
        if events > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        tidal.salvage(store, tmp_path / "new", progress=stop)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "new.unfinished").exists()
    assert any("remove it" in note for note in caught.value.__notes__)


def test_progress_grows_to_the_whole(store: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    tidal.salvage(store, tmp_path / "new", progress=lambda events, share: seen.append((events, share)))
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1] == (LAST, 1.0)


def test_a_salvaged_store_goes_on(store: Path, tmp_path: Path) -> None:
    tidal.salvage(store, tmp_path / "new")
    with tidal.open(tmp_path / "new", clock="event") as db:
        fill(db, ROUNDS)
        assert db.last_seq == LAST + EVENTS
    assert verify(tmp_path / "new").findings == ()


class Kept:
    """Stands for the new store."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def write(self, batch: EventBatch) -> tuple[int, int]:
        self.ids += batch.entity_id.tolist()
        return len(self.ids) - len(batch) + 1, len(self.ids)


def test_what_overlaps_is_written_once() -> None:
    report, made = tidal.SalvageReport("", "", ""), Kept()
    writer = _Writer(made, SCHEMA, report, StorePaths(Path()))  # type: ignore[arg-type]
    for first, last in ((1, 10), (4, 8), (6, 15), (20, 25), (1, 3), (25, 30)):
        ids = np.arange(first, last + 1, dtype=np.uint64)
        n = len(ids)
        batch = EventBatch(ids, np.zeros(n, np.uint8), np.ones(n, np.float32), np.zeros(n, np.int64))
        writer.write(first, batch)
    writer.end(33)
    assert made.ids == [*range(1, 16), *range(20, 31)]
    assert report.lost == [(16, 19), (31, 33)]
    assert [tuple(moved) for moved in report.moved] == [(1, 15, 1), (20, 30, 16)]
    assert report.skipped == []
