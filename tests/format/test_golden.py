"""The files of format version 1 in tests/data/format/v1 are read for ever, by every later version."""

from __future__ import annotations

import shutil
from pathlib import Path

from golden_v1 import EPOCH, FOLDER, IDENTITY, STORE, STORE_DIGEST, STORE_SCHEMA, expected, store_events

import tidal
from tidal.durable import OsFileSystem
from tidal.format import columns
from tidal.format.payload import DIRECTORY, SUMMARY
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.ledger import SignalLedger
from tidal.schema.events import TIME_MIN_NS, EventBatch
from tidal.store import StorePaths, load_store
from tidal.wal import SegmentInfo, read_batches, scan_log
from tidal.wal.segments import SegmentWalk, check_header, read_segment


def columns_of(batch: EventBatch) -> list[object]:
    found: list[object] = []
    for column in (batch.entity_id, batch.type_id, batch.weight, batch.timestamp):
        found.append((column.dtype.str, column.tobytes()))
    for ids in (batch.user_id, batch.session_id, batch.event_id):
        valid = None if ids is None or ids.valid is None else ids.valid.tolist()
        found.append(None if ids is None else (ids.values.tolist(), valid))
    return [*found, batch.new_keys]


def test_the_golden_log_reads_as_it_was_written() -> None:
    read = list(read_batches(OsFileSystem(), FOLDER, identity=IDENTITY))
    assert [first for first, _ in read] == [1, 401, 801]
    assert [columns_of(batch) for _, batch in read] == [columns_of(batch) for batch in expected()]


def test_the_golden_log_is_whole() -> None:
    scan = scan_log(OsFileSystem(), FOLDER, IDENTITY)
    (segment,) = scan.segments
    assert isinstance(segment, SegmentInfo)
    assert (scan.last_seq, scan.epoch, segment.sealed, segment.batches) == (801, 3, True, 3)
    assert (segment.min_time, segment.max_time) == (TIME_MIN_NS, EPOCH + 399 * 399)
    assert segment.header.created_at == EPOCH
    assert scan.head_hash.hex() == "22fc0c3154b08e3c0cdd283987333db4f9706f9c0c8b8ac9be42004ea7e9b8d6"


def test_the_golden_log_has_every_codec() -> None:
    path = next(FOLDER.glob("wal-*.seg"))
    data = read_segment(OsFileSystem(), path)
    codecs, compressions, forms = set(), set(), set()
    for frame, _ in SegmentWalk(check_header(path, data), data):
        payload = data[frame.payload]
        for position in range(SUMMARY.unpack_from(payload)[4]):
            entry = DIRECTORY.unpack_from(payload, SUMMARY.size + position * DIRECTORY.size)
            codecs.add(entry[1])
            forms.add(entry[2])
            compressions.add(entry[3])
    assert codecs == {value for name, value in vars(columns).items() if name.startswith("CODEC_")} - {
        columns.CODEC_SHARED  # of archives alone
    }
    assert compressions == {columns.PLAIN, columns.ZSTD}
    assert forms == {0, 1}


# ------------------------------------------------------------------------------------ a whole store


def files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


def fed() -> tidal.TidalDb:
    """A database in memory with the events of the golden store."""
    db = tidal.open(schema=STORE_SCHEMA, clock=lambda: EPOCH + 10**15)
    for part in range(3):
        db.ingest(**store_events(part))
    return db


def test_the_golden_store_opens_to_read_and_no_byte_of_it_changes() -> None:
    before = files(STORE)
    with tidal.open(STORE, read_only=True, clock=lambda: EPOCH + 10**15) as db, fed() as twin:
        assert (db.last_seq, db.recovery.clean_shutdown) == (180, True)
        assert db._ledger.state_digest() == twin._ledger.state_digest()
        assert db._ledger.state_digest().hex() == STORE_DIGEST
        assert db.score("view", "item-1") == twin.score("view", "item-1")
        assert db.items.get("item-1") == {"title": "the first", "part": 2}
        assert db.marks.all() == {"follower": 60}
    assert files(STORE) == before


def test_the_golden_store_is_also_what_its_history_says() -> None:
    paths = StorePaths(STORE)
    identity = LogIdentity(load_store(OsFileSystem(), paths).store_id, 0)
    ledger = SignalLedger(STORE_SCHEMA)
    for _, batch in read_history(OsFileSystem(), paths, identity=identity):
        ledger.apply(batch)
    assert ledger.state_digest().hex() == STORE_DIGEST


def test_the_golden_store_can_be_written_on(tmp_path: Path) -> None:
    """A copy; its empty folders are not there, as they are not in a copy of the repository."""
    store = tmp_path / "s"
    shutil.copytree(STORE, store)
    with tidal.open(store, clock=lambda: EPOCH + 10**15) as db:
        assert db.signal("view", "item-1") == 181
    with tidal.open(store, read_only=True, clock=lambda: EPOCH + 10**15) as db:
        assert db.last_seq == 181
