"""The files of format version 1 in tests/data/format/v1 are read for ever, by every later version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tidal.durable import OsFileSystem
from tidal.format import columns
from tidal.format.payload import DIRECTORY, SUMMARY
from tidal.format.segment import LogIdentity
from tidal.schema.events import EventBatch, IdColumn, NewKey
from tidal.wal import SegmentInfo, read_batches, scan_log
from tidal.wal.segments import SegmentWalk, check_header, read_segment

FOLDER = Path(__file__).parents[1] / "data" / "format" / "v1"
IDENTITY = LogIdentity(bytes(range(16)), epoch=3)
EPOCH = 1_600_000_000_000_000_000


def hashed(count: int) -> np.ndarray:
    """Words without a pattern, the same on every machine."""
    return np.array([pow(3, i + 100, 2**64 - 59) for i in range(count)], np.uint64)


def expected() -> list[EventBatch]:
    """What is in the segment: every column, every codec, both forms of weights."""
    rows = np.arange(400)
    some = rows % 3 == 0
    return [
        EventBatch(  # dictionary, planes, whole weights, delta; optional ids with and without gaps; keys
            hashed(20)[rows * 7 % 20],
            (rows % 5).astype(np.uint8),
            (rows % 11 - 5).astype(np.float32),
            EPOCH + rows * rows,
            IdColumn(np.where(some, rows + 1_000, 0).astype(np.uint64), some),
            IdColumn((rows // 10 + 536_365).astype(np.uint64)),
            IdColumn(hashed(400)),
            (NewKey("item", 7, "sku:85123A"), NewKey("user", 2**64 - 1, "Zoë"), NewKey("creator", 0, "")),
        ),
        EventBatch(  # raw, constant, weights as bits
            hashed(400),
            np.full(400, 255, np.uint8),
            (rows / 7).astype(np.float32),
            np.full(400, -1, np.int64),
        ),
        EventBatch(  # one event at the ends of every range
            np.array([2**64 - 1], np.uint64),
            np.zeros(1, np.uint8),
            np.array([-0.0], np.float32),
            np.array([-(2**62)], np.int64),
        ),
    ]


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
    assert (scan.last_seq, scan.epoch, scan.needs_repair, segment.batches) == (801, 3, False, 3)
    assert (segment.min_time, segment.max_time) == (-(2**62), EPOCH + 399 * 399)
    assert segment.header.created_at == EPOCH
    assert scan.head_hash.hex() == "88fdaf0e1cfc830deacf0327ca26508a539b1216539f58546be6a604b77f7cf1"


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
    assert codecs == {value for name, value in vars(columns).items() if name.startswith("CODEC_")}
    assert compressions == {columns.PLAIN, columns.ZSTD}
    assert forms == {0, 1}
