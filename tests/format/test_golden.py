"""The files of format version 1 in tests/data/format/v1 are read for ever, by every later version."""

from __future__ import annotations

from golden_v1 import EPOCH, FOLDER, IDENTITY, expected

from tidal.durable import OsFileSystem
from tidal.format import columns
from tidal.format.payload import DIRECTORY, SUMMARY
from tidal.schema.events import TIME_MIN_NS, EventBatch
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
    assert codecs == {value for name, value in vars(columns).items() if name.startswith("CODEC_")}
    assert compressions == {columns.PLAIN, columns.ZSTD}
    assert forms == {0, 1}
