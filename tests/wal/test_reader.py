from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tidal.wal.reader
from tidal.errors import CorruptLog, MissingSegment, StorageError
from tidal.format.segment import SEAL, SEGMENT_HEADER
from tidal.schema.events import EventBatch, IdColumn, NewKey
from tidal.wal import read_batches

FIRST_TIME = 1_700_000_000_000_000_000


@pytest.fixture(params=[1, 1_000, 1 << 20], ids=["batch per segment", "few", "one segment"])
def filled(log, request):
    """Batches of 3 events, sequences 1 to 30, each of another type, over one or more segments."""
    writer = log.writer(segment_bytes=request.param)
    for number in range(10):
        writer.append(log.batch(3, 3 * number + 1, type_id=number))
    writer.close()
    return log


def test_every_range_of_sequences(filled) -> None:
    for after in range(31):
        for until in (None, *range(after, 31)):
            expected = list(range(after + 1, (30 if until is None else until) + 1))
            assert filled.events(after_seq=after, until_seq=until) == expected


def test_batches_come_with_their_first_sequence(filled) -> None:
    batches = read_batches(filled.fs, filled.directory, after_seq=4, until_seq=11)
    assert [(first, len(batch)) for first, batch in batches] == [(5, 2), (7, 3), (10, 2)]


def test_batches_outside_the_times_are_left_out(filled) -> None:
    def time(seq: int) -> int:
        return FIRST_TIME + 1000 * seq

    assert filled.events(since=time(9), until=time(10)) == [7, 8, 9]
    assert filled.events(since=time(28)) == [28, 29, 30]
    assert filled.events(until=time(1)) == []
    assert filled.events(until=time(1) + 1) == [1, 2, 3]


def test_batches_of_other_types_are_left_out(filled) -> None:
    assert filled.events(types={2, 7}) == [7, 8, 9, 22, 23, 24]
    assert filled.events(types=()) == []
    assert filled.events(types=[255]) == []


def test_promised_events_that_are_not_there_are_an_error(filled) -> None:
    with pytest.raises(MissingSegment) as caught:
        filled.events(until_seq=31)
    assert (caught.value.first, caught.value.last) == (31, 31)


def test_all_columns_come_back_cut_to_the_range(log) -> None:
    rows = np.arange(4)
    batch = EventBatch(
        rows.astype(np.uint64), rows.astype(np.uint8), rows.astype(np.float32), rows,
        IdColumn(np.array([1, 0, 3, 0], np.uint64), np.array([True, False, True, False])),
        IdColumn(rows.astype(np.uint64)), None, (NewKey("user", 9, "näme"),),
    )  # fmt: skip
    writer = log.writer()
    writer.append(batch)
    ((first, read),) = read_batches(log.fs, log.directory, after_seq=1, until_seq=3)
    assert first == 2
    assert read.entity_id.tolist() == [1, 2]
    assert read.user_id.values.tolist() == [0, 3]
    assert read.user_id.valid.tolist() == [False, True]
    assert read.session_id.values.tolist() == [1, 2]
    assert read.event_id is None
    assert read.new_keys == batch.new_keys


def test_an_empty_log_has_no_batches(log) -> None:
    assert log.events() == []
    with pytest.raises(MissingSegment):
        log.events(until_seq=1)


def test_a_reader_follows_a_log_that_grows(log) -> None:
    writer = log.writer(segment_bytes=600)
    writer.append(log.batch(2, 1))
    writer.append(log.batch(2, 3))
    stream = read_batches(log.fs, log.directory, until_seq=4)
    assert next(stream)[0] == 1
    for first in range(5, 25, 2):
        writer.append(log.batch(2, first))
    assert [first for first, _ in stream] == [3]
    assert log.events() == list(range(1, 25))
    assert len(log.paths) > 2


@pytest.mark.parametrize("counts", [[2, 2], [2]], ids=["with a batch", "empty"])
def test_a_segment_that_is_filled_and_sealed_right_after_it_was_read_is_no_gap(
    log, monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    """``counts``: the batches of the segment, of which the reader finds all but the last."""
    whole = type(log)(log.directory.parent / "whole")
    whole.directory.mkdir()
    whole.filled([3], segment_bytes=1)
    whole.filled(counts, next_seq=4, previous_hash=whole.scan().head_hash, segment_bytes=1 << 20)
    whole.filled([2], next_seq=4 + sum(counts), previous_hash=whole.scan().head_hash)
    parts = [path.read_bytes() for path in whole.paths]
    assert len(parts) == 3

    def write(upto: int) -> None:
        for path, part in zip(whole.paths[:upto], parts, strict=False):
            (log.directory / path.name).write_bytes(part)

    write(2)
    filling = log.paths[1]
    found = len(parts[1]) - SEAL.size - (len(parts[1]) - SEAL.size - SEGMENT_HEADER.size) // len(counts)
    filling.write_bytes(parts[1][:found])
    read = tidal.wal.reader.read_segment

    def read_just_before(fs, path: Path):
        data = read(fs, path)
        if path == filling:
            write(3)
        return data

    monkeypatch.setattr(tidal.wal.reader, "read_segment", read_just_before)
    assert log.events() == list(range(1, 4 + sum(counts[:-1])))
    assert log.events() == list(range(1, 6 + sum(counts)))


@pytest.mark.parametrize("until_seq", [None, 5])
def test_a_segment_that_is_taken_back_after_it_was_listed_is_not_there(
    log, monkeypatch: pytest.MonkeyPatch, until_seq: int | None
) -> None:
    """A full disk: its file was made, and removed since there was no room for its header."""
    log.filled([2, 3], segment_bytes=1)
    there = tidal.wal.reader.list_segments
    gone = log.directory / "wal-00000000000000000006.seg"
    looks = iter(range(100))

    def seen_once(*given):
        return [*there(*given), (6, gone)] if next(looks) % 2 == 0 else there(*given)

    monkeypatch.setattr(tidal.wal.reader, "list_segments", seen_once)
    assert log.events(until_seq=until_seq) == [1, 2, 3, 4, 5]
    with pytest.raises(MissingSegment):
        log.events(until_seq=6)


def test_a_segment_that_is_archived_after_it_was_listed_is_no_end(
    log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events go on in the archive: who reads this must learn that some are missing here."""
    log.filled([2, 3, 2, 2], segment_bytes=1)
    newest = log.paths[3].read_bytes()
    log.paths[3].unlink()
    there = tidal.wal.reader.list_segments

    def archive(*given):
        found = there(*given)
        for _, path in found[2:]:  # the third, which was the last: a fourth was begun since
            path.unlink(missing_ok=True)
            (log.directory / "wal-00000000000000000008.seg").write_bytes(newest)
            monkeypatch.setattr(tidal.wal.reader, "list_segments", there)
        return found

    monkeypatch.setattr(tidal.wal.reader, "list_segments", archive)
    with pytest.raises(MissingSegment) as gap:
        log.events(after_seq=5)
    assert (gap.value.first, gap.value.last) == (6, 7)


def test_a_folder_whose_files_cannot_be_opened_is_an_error(log, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [(1, log.directory / "wal-00000000000000000001.seg")]
    monkeypatch.setattr(tidal.wal.reader, "list_segments", lambda *given: listed)
    with pytest.raises(StorageError, match="No such file"):
        log.events()


def test_the_tail_ends_the_stream_quietly_unless_it_was_promised(log) -> None:
    log.filled([2, 3])
    path = log.paths[0]
    path.write_bytes(path.read_bytes()[: -SEAL.size - 1])
    assert log.events() == [1, 2]
    assert log.events(until_seq=2) == [1, 2]
    with pytest.raises(CorruptLog):
        log.events(until_seq=3)


def test_a_segment_that_is_being_made_is_the_end(log) -> None:
    log.filled([2])
    (log.directory / "wal-00000000000000000003.seg").write_bytes(b"")
    assert log.events() == [1, 2]
    with pytest.raises(MissingSegment):
        log.events(until_seq=3)


def test_damage_is_never_passed_over(filled) -> None:
    whole = {path: path.read_bytes() for path in filled.paths}
    for path in filled.paths[:-1] or filled.paths:
        data = bytearray(whole[path])
        data[250] ^= 1
        path.write_bytes(data)
        with pytest.raises(CorruptLog) as caught:
            filled.events(until_seq=30)
        assert caught.value.path == path
        path.write_bytes(whole[path])


def test_a_gap_is_an_error(log) -> None:
    log.filled([2] * 4, segment_bytes=1)
    log.paths[1].unlink()
    for after in (0, 1, 2, 3):
        with pytest.raises(MissingSegment) as caught:
            log.events(after_seq=after)
        assert (caught.value.first, caught.value.last) == (max(3, after + 1), 4)
    assert log.events(after_seq=4) == [5, 6, 7, 8]


def test_skipped_segments_are_not_read_whole(log) -> None:
    log.filled([2] * 4, segment_bytes=1)
    path = log.paths[0]
    data = bytearray(path.read_bytes())
    data[250] ^= 1
    path.write_bytes(data)
    assert log.events(since=FIRST_TIME + 3000) == [3, 4, 5, 6, 7, 8]
    with pytest.raises(CorruptLog):
        log.events()


def test_a_replaced_segment_is_an_error(log, tmp_path) -> None:
    log.filled([2] * 3, segment_bytes=1)
    other = type(log)(tmp_path / "other")
    other.directory.mkdir()
    writer = other.writer(segment_bytes=1)
    for first in (11, 13, 15):  # other events under the same sequences
        writer.append(other.batch(2, first))
    writer.close()
    log.paths[1].write_bytes(other.paths[1].read_bytes())
    with pytest.raises(CorruptLog, match="does not continue"):
        log.events()
