"""A segment archived: every event comes back, and what was written is read before it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal.archive import ArchiveFile, archive_segments, read_archive
from tidal.archive import writer as writer_module
from tidal.durable import OsFileSystem
from tidal.errors import CorruptArchive, CorruptLog, LimitExceeded
from tidal.format.archive import PlainHash
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch, IdColumn, NewKey
from tidal.testing.strategies import batches, schemas
from tidal.wal import LogWriter, parse_sync, read_batches

FS = OsFileSystem()
IDENTITY = LogIdentity(bytes(range(16)), epoch=1)


def logged(folder: Path, given_batches: list[EventBatch]) -> Path:
    """The sealed segment with these batches."""
    folder.mkdir()
    log = LogWriter(
        FS, folder, identity=IDENTITY, next_seq=1, previous_hash=NO_HASH, sync=parse_sync("os"),
        wall_clock=lambda: 5, monotonic=lambda: 0.0,
    )  # fmt: skip
    for batch in given_batches:
        log.append(batch)
    log.close()
    (path,) = folder.glob("*.seg")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


ID = st.integers(0, 2**64 - 1)


@st.composite
def with_more(draw: st.DrawFn, batch: EventBatch) -> EventBatch:
    """The batch with optional ids and new keys."""

    def column() -> IdColumn | None:
        rows = draw(st.none() | st.lists(st.none() | ID, min_size=len(batch), max_size=len(batch)))
        if rows is None:
            return None
        known = np.array([row is not None for row in rows])
        return IdColumn(np.array([row or 0 for row in rows], np.uint64), known)

    keys = st.builds(NewKey, st.sampled_from(("item", "user", "creator")), ID, st.text(max_size=9))
    return EventBatch(
        batch.entity_id, batch.type_id, batch.weight, batch.timestamp, column(), column(), column(),
        tuple(draw(st.lists(keys, max_size=3))),
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> tuple[Any, list[EventBatch]]:
    schema = draw(schemas())
    found = [draw(with_more(batch)) for batch in draw(batches(schema)) if len(batch)]
    return schema, found


@settings(max_examples=40)
@given(logs())
def test_every_event_comes_back_and_replays_alike(
    tmp_path_factory, log: tuple[Any, list[EventBatch]]
) -> None:
    schema, appended = log
    if not appended:
        return
    base = tmp_path_factory.mktemp("log")
    segment = logged(base / "wal", appended)
    made = archive_segments(FS, base, [segment], identity=IDENTITY, schema=schema)
    path = base / f"archive-{1:020}.arc"
    assert made.size == path.stat().st_size
    from_log, from_archive = PlainHash(), PlainHash()
    replayed, again = SignalLedger(schema), SignalLedger(schema)
    for _, batch in read_batches(FS, segment.parent):
        from_log.add(batch)
        replayed.apply(batch)
    for _, batch in read_archive(FS, path):
        from_archive.add(batch)
        again.apply(batch)
    assert from_archive.digest() == from_log.digest()
    assert again.state_digest() == replayed.state_digest()
    with ArchiveFile(FS, path) as file:
        assert file.schema == schema
        assert file.header.batches == len(appended)


def events(count: int) -> EventBatch:
    ids = np.arange(count, dtype=np.uint64)
    return EventBatch(ids, np.zeros(count, np.uint8), np.ones(count, np.float32), ids.view(np.int64) * 10**9)


def test_many_small_batches_become_one_block(folder: Path, store) -> None:
    schema = store.archiver._schema
    segment = logged(folder / "wal", [events(500).rows(row, row + 1) for row in range(500)])
    made = archive_segments(FS, folder, [segment], identity=IDENTITY, schema=schema)
    with ArchiveFile(FS, folder / f"archive-{1:020}.arc") as file:
        (block,) = file.blocks()
    assert (block.events, file.header.batches) == (500, 500)
    assert made.size * 20 < segment.stat().st_size


def test_the_same_segment_gives_the_same_bytes(folder: Path, store) -> None:
    segment = logged(folder / "wal", [events(300), events(7)])
    found = []
    for _ in range(2):
        archive_segments(FS, folder, [segment], identity=IDENTITY, schema=store.archiver._schema)
        found.append((folder / f"archive-{1:020}.arc").read_bytes())
    assert found[0] == found[1]


def test_an_unsealed_segment_is_refused(folder: Path, store) -> None:
    segment = logged(folder / "wal", [events(9)])
    segment.write_bytes(segment.read_bytes()[:-144])
    with pytest.raises(CorruptLog, match="no seal"):
        archive_segments(FS, folder, [segment], identity=IDENTITY, schema=store.archiver._schema)
    assert list(folder.glob("*.arc*")) == []


def test_a_segment_of_another_store_is_refused(folder: Path, store) -> None:
    segment = logged(folder / "wal", [events(9)])
    with pytest.raises(CorruptLog, match="of store"):
        archive_segments(
            FS, folder, [segment], identity=LogIdentity(bytes(16), 1), schema=store.archiver._schema
        )


def test_events_that_were_encoded_wrongly_do_not_pass(
    folder: Path, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash that the file must match is of the segment's own batches."""
    encode = writer_module.encode_block

    def wrong(batch: EventBatch, first_seq: int, received_at: int, codes: Any) -> Any:
        weight = batch.weight.copy()
        weight[3] += 1
        return encode(
            EventBatch(batch.entity_id, batch.type_id, weight, batch.timestamp), first_seq, received_at, codes
        )

    monkeypatch.setattr(writer_module, "encode_block", wrong)
    segment = logged(folder / "wal", [events(9)])
    with pytest.raises(CorruptArchive, match="the events do not match their hash"):
        archive_segments(FS, folder, [segment], identity=IDENTITY, schema=store.archiver._schema)
    assert list(folder.glob("*.arc*")) == []


def test_bytes_that_the_disk_changes_do_not_pass(folder: Path, store) -> None:
    class Lying(OsFileSystem):
        def create(self, path: Path) -> Any:
            file = super().create(path)
            append = file.append

            def flipped(parts: list[bytes]) -> int:
                return append([part[:-1] + bytes([part[-1] ^ 1]) for part in parts])

            file.append = flipped
            return file

    segment = logged(folder / "wal", [events(9)])
    with pytest.raises(CorruptArchive):
        archive_segments(Lying(), folder, [segment], identity=IDENTITY, schema=store.archiver._schema)
    assert list(folder.glob("*.arc*")) == []


def test_a_segment_that_no_archive_holds_is_refused(
    folder: Path, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidal.format.archive.BLOCKS_MAX", 0)
    segment = logged(folder / "wal", [events(9)])
    with pytest.raises(LimitExceeded, match="cannot be archived: 1 blocks"):
        archive_segments(FS, folder, [segment], identity=IDENTITY, schema=store.archiver._schema)
