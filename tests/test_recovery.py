"""Opening a store that was damaged or left unfinished: what comes back, what is kept, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import tidal

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h", "7d")).build()
START = 1_700_000_000 * 10**9


def fill(db: tidal.TidalDb, batches: int) -> None:
    for _ in range(batches):
        n = db.last_seq + np.arange(1, 101)
        db.ingest(signal="view", entity_id=n * n % 41, timestamp=START + n * 10**10)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of 900 events: checkpoints at 300 and 600, a log of all."""
    path = tmp_path / "store"
    db = tidal.open(path, schema=SCHEMA, clock="event", checkpoint_bytes=None)
    for _ in range(2):
        fill(db, 3)
        db.checkpoint()
    fill(db, 3)
    db._release()
    return path


def digest_of(events: int) -> bytes:
    with tidal.open(schema=SCHEMA, clock="event") as db:
        fill(db, events // 100)
        return db._ledger.state_digest()


def checkpoints(store: Path) -> list[Path]:
    return sorted((store / "checkpoints").glob("*.ckpt"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_the_newest_checkpoint_and_the_log_after_it(store: Path) -> None:
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None and db.recovery.clean
        assert (db.recovery.checkpoint_seq, db.recovery.replayed_events) == (600, 300)
        assert db._ledger.state_digest() == digest_of(900)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(store: Path) -> None:
    newest = checkpoints(store)[-1]
    flip(newest, newest.stat().st_size // 2)
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None and not db.recovery.clean
        assert (db.recovery.checkpoint_seq, db.recovery.replayed_events) == (300, 600)
        assert [d.path.parent.name for d in db.recovery.damaged_checkpoints] == ["quarantine"]
        assert db._ledger.state_digest() == digest_of(900)
    assert (store / "quarantine").is_dir()


def test_without_a_checkpoint_all_of_the_log_is_replayed(store: Path) -> None:
    for path in checkpoints(store):
        flip(path, 200)
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None
        assert (db.recovery.checkpoint_seq, db.recovery.replayed_events) == (0, 900)
        assert db._ledger.state_digest() == digest_of(900)


def test_a_torn_tail_is_cut_off_and_kept(store: Path) -> None:
    db = tidal.open(store, clock="event", checkpoint_bytes=None)
    fill(db, 1)
    shutil.copytree(store, store.parent / "crashed")  # as a killed process leaves it
    db._release()
    store = store.parent / "crashed"
    live = sorted((store / "wal").glob("*.seg"))[-1]
    torn = live.read_bytes()[:-7]
    live.write_bytes(torn)
    with tidal.open(store, clock="event", read_only=True) as reader:
        assert reader.last_seq == 900
        assert reader.recovery is not None and reader.recovery.torn is not None
    assert live.read_bytes() == torn
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None and db.recovery.torn is not None
        assert db.recovery.torn.first_dropped_seq == 901
        assert db._ledger.state_digest() == digest_of(900)
        assert db.signal("view", 1, timestamp=START) == 901
    kept = list((store / "quarantine").iterdir())
    assert len(kept) == 1 and kept[0].read_bytes()
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None and db.recovery.clean


def test_damage_in_the_middle_of_the_log_is_refused_untouched(store: Path) -> None:
    first = sorted((store / "wal").glob("*.seg"))[0]
    flip(first, first.stat().st_size - 500)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(tidal.CorruptLog) as caught:
        tidal.open(store, clock="event")
    assert caught.value.path == first
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_a_missing_log_is_noted_where_a_checkpoint_covers_it_and_refused_where_not(store: Path) -> None:
    with tidal.open(store, clock="event") as db:  # closes with a checkpoint at 900
        assert db.last_seq == 900
    for path in (store / "wal").glob("*.seg"):
        path.unlink()
    with tidal.open(store, clock="event") as db:
        assert db.recovery is not None and db.recovery.missing == ((1, 900),)
        assert db.last_seq == 900
        fill(db, 1)
        assert db._ledger.state_digest() == digest_of(1000)
    for path in checkpoints(store):
        path.unlink()
    with pytest.raises(tidal.MissingSegment) as caught:
        tidal.open(store, clock="event")
    assert (caught.value.first, caught.value.last) == (1, 900)


def test_what_deduplication_cannot_remember_is_said(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    tidal.open(store, clock="event").close()
    for path in (store / "wal").glob("*.seg"):
        path.unlink()
    with tidal.open(store, clock="event", dedup="event_id") as db:
        assert db.last_seq == 900
    (record,) = (record for record in caplog.records if record.name == "tidal.recovery")
    assert record.levelname == "WARNING"
    assert "events 1 to 900 are in neither log nor archive" in record.getMessage()


def test_files_of_another_store_are_not_taken(store: Path, tmp_path: Path) -> None:
    with tidal.open(tmp_path / "other", schema=SCHEMA, clock="event") as db:
        fill(db, 2)
    for name in ("wal", "checkpoints"):
        for path in (store / name).iterdir():
            path.unlink()
        for path in (tmp_path / "other" / name).iterdir():
            (store / name / path.name).write_bytes(path.read_bytes())
    with pytest.raises((tidal.CorruptLog, tidal.MissingSegment)):
        tidal.open(store, clock="event")
