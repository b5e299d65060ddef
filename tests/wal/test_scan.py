from __future__ import annotations

import errno
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

import tidal.wal.tail
from tidal.errors import CorruptLog, FormatTooNew, MissingSegment, StorageError
from tidal.format import segment
from tidal.format.frame import FRAME_MAGIC, decode_frame, encode_frame
from tidal.format.payload import encode_payload
from tidal.format.segment import NO_HASH, SEAL, SEGMENT_HEADER, LogIdentity, decode_segment_header


def frames(path: Path) -> list:
    """The good frames of a segment, from its start."""
    data = memoryview(path.read_bytes())
    identity = decode_segment_header(data)[0].identity
    found, offset = [], SEGMENT_HEADER.size
    while bytes(data[offset : offset + 4]) == FRAME_MAGIC:
        found.append(decode_frame(data, offset, identity))
        offset = found[-1].end
    return found


def change(path: Path, edit) -> None:
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def flip(path: Path, offset: int) -> None:
    def edit(data: bytearray) -> None:
        data[offset] ^= 1

    change(path, edit)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.fixture
def unsealed(log):
    """One segment of five batches of two events, each durable before the next, and no seal: a kill."""
    log.filled([2] * 5)
    cut(log.paths[0], log.paths[0].stat().st_size - SEAL.size)
    return log


def test_an_empty_log(log) -> None:
    scan = log.scan()
    assert (scan.last_seq, scan.head_hash, scan.segments, scan.epoch) == (0, NO_HASH, (), 0)
    assert not scan.needs_repair


def test_a_closed_log_is_whole(log) -> None:
    writer = log.filled([2, 3, 4], segment_bytes=700)
    scan = log.scan()
    assert (scan.last_seq, scan.head_hash, scan.epoch) == (9, writer.head_hash, 1)
    assert scan.segments == writer.segments
    assert all(info.sealed for info in scan.segments)
    assert scan.needs_repair  # only a manifest says that the seal's own sync succeeded


def test_a_log_without_its_seal_needs_repair(unsealed) -> None:
    scan = unsealed.scan()
    assert (scan.last_seq, scan.torn, scan.needs_repair) == (10, None, True)


def test_the_watermark_is_armed(unsealed) -> None:
    assert [frame.durable_seq for frame in frames(unsealed.paths[0])] == [0, 2, 4, 6, 8]


def test_scanning_writes_nothing(unsealed) -> None:
    cut(unsealed.paths[0], unsealed.paths[0].stat().st_size - 1)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in unsealed.directory.iterdir()}
    assert unsealed.scan().torn is not None
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in unsealed.directory.iterdir()}


# ------------------------------------------------------------------------------------ torn or corrupt


def test_every_cut_is_a_torn_tail(unsealed) -> None:
    path = unsealed.paths[0]
    whole, ends = path.read_bytes(), [frame.end for frame in frames(path)]
    for size in range(SEGMENT_HEADER.size, len(whole)):
        path.write_bytes(whole[:size])
        scan = unsealed.scan()
        good = sum(end <= size for end in ends)
        assert scan.last_seq == 2 * good
        if size in (SEGMENT_HEADER.size, *ends):
            assert scan.torn is None
        else:
            torn = scan.torn
            assert (torn.path, torn.first_dropped_seq) == (path, 2 * good + 1)
            assert torn.offset + torn.size == size


def test_damage_before_a_synced_batch_is_corruption_and_after_it_torn(unsealed) -> None:
    path = unsealed.paths[0]
    whole, found = path.read_bytes(), frames(path)
    for number, frame in enumerate(found):
        for offset in range(frame.offset, frame.end):
            flip(path, offset)
            if number < len(found) - 1:
                with pytest.raises(CorruptLog) as caught:
                    unsealed.scan()
                assert (caught.value.path, caught.value.offset) == (path, frame.offset)
            else:
                assert unsealed.scan().torn.offset == frame.offset
            path.write_bytes(whole)


def test_a_lost_sector_across_batches_is_corruption(unsealed) -> None:
    # The batch before the last loses its header, hash and all: the last one must convict it alone.
    path = unsealed.paths[0]
    found = frames(path)

    def zero(data: bytearray) -> None:
        data[found[2].offset + 50 : found[3].end] = bytes(found[3].end - found[2].offset - 50)

    change(path, zero)
    with pytest.raises(CorruptLog, match="were durable"):
        unsealed.scan()


def test_unsynced_batches_may_be_lost_in_any_order(log) -> None:
    writer = log.writer("os")
    for first in range(1, 11, 2):
        writer.append(log.batch(2, first))
    path = log.paths[0]
    whole, found = path.read_bytes(), frames(path)
    assert [frame.durable_seq for frame in found] == [0] * 5
    for lost in itertools.chain.from_iterable(itertools.combinations(range(5), n) for n in range(1, 6)):
        data = bytearray(whole)
        for number in lost:
            data[found[number].offset : found[number].end] = bytes(found[number].end - found[number].offset)
        path.write_bytes(data)
        scan = log.scan()
        assert scan.last_seq == 2 * lost[0]
        rest = range(lost[0], 5)
        assert (scan.torn is None) == (set(rest) == set(lost))  # all zero is the end
    path.write_bytes(whole)


def test_damage_in_a_sealed_last_segment_is_corruption(log) -> None:
    log.filled([2, 3])
    path = log.paths[0]
    for frame in frames(path):
        flip(path, frame.end - 1)
        with pytest.raises(CorruptLog, match="durable"):
            log.scan()
        flip(path, frame.end - 1)


def test_a_torn_seal_drops_no_event(log) -> None:
    log.filled([2, 3])
    cut(log.paths[0], log.paths[0].stat().st_size - 1)
    scan = log.scan()
    assert (scan.last_seq, scan.torn.first_dropped_seq, scan.torn.size) == (5, 6, SEAL.size - 1)


@pytest.mark.parametrize("rest", [bytes(10_000), b""])
def test_a_preallocated_rest_is_the_end(unsealed, rest: bytes) -> None:
    path = unsealed.paths[0]
    path.write_bytes(path.read_bytes() + rest)
    scan = unsealed.scan()
    assert (scan.last_seq, scan.torn) == (10, None)


def test_bytes_after_a_seal_are_corruption(log) -> None:
    log.filled([2])
    path = log.paths[0]
    for rest in (b"\0", b"more"):
        whole = path.read_bytes()
        path.write_bytes(whole + rest)
        with pytest.raises(CorruptLog, match="after the seal"):
            log.scan()
        path.write_bytes(whole)


def test_a_header_that_never_was_whole_is_torn(log) -> None:
    first = log.filled([2])
    log.filled([2], next_seq=3, previous_hash=first.head_hash)
    path = log.paths[1]
    header = path.read_bytes()[: SEGMENT_HEADER.size]
    for left in (b"", header[:50], bytes(SEGMENT_HEADER.size), header[:64] + bytes(500)):
        path.write_bytes(left)
        scan = log.scan()
        assert (scan.last_seq, scan.torn.path, scan.torn.offset) == (2, path, 0)
        assert scan.torn.first_dropped_seq == 3
        assert log.events() == [1, 2]


def test_for_a_reader_a_segment_without_its_header_is_being_made(log) -> None:
    first = log.filled([2])
    log.filled([2], next_seq=3, previous_hash=first.head_hash)
    path = log.paths[1]
    header = path.read_bytes()[: SEGMENT_HEADER.size]
    for there in (b"", header[:50], bytes(SEGMENT_HEADER.size)):
        path.write_bytes(there)
        scan = log.scan(live=True)
        assert (scan.last_seq, scan.torn) == (2, None)
    path.write_bytes(header + b"half of a batch")
    assert log.scan(live=True).torn.first_dropped_seq == 3


def test_a_reader_that_meets_half_of_a_write_reads_again(unsealed, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unsealed.paths[0]
    whole = path.read_bytes()
    more = [len(whole) - 100, len(whole)]
    cut(path, len(whole) - 200)
    assert unsealed.scan(live=True).last_seq < unsealed.scan(live=True).torn.first_dropped_seq < 10
    read = tidal.wal.tail.read_segment

    def read_just_before(*arguments, **options):
        data = read(*arguments, **options)
        if more:
            path.write_bytes(whole[: more.pop(0)])
        return data

    monkeypatch.setattr(tidal.wal.tail, "read_segment", read_just_before)
    scan = unsealed.scan(live=True)
    assert (scan.last_seq, scan.torn) == (10, None)


def test_a_damaged_header_before_batches_is_corruption(log) -> None:
    log.filled([2])
    flip(log.paths[0], 60)
    with pytest.raises(CorruptLog, match="header"):
        log.scan()


def test_a_hostile_tail_ends_the_search(unsealed) -> None:
    path = unsealed.paths[0]
    fake = bytearray(path.read_bytes()[frames(path)[0].offset :][:96])
    fake[20:24] = (200_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes() + bytes(fake) * 4_000)
    with pytest.raises(CorruptLog, match="cannot be told"):
        unsealed.scan()


@pytest.mark.parametrize(("first_seq", "link"), [(11, bytes(32)), (12, None), (10, None)])
def test_a_good_batch_that_does_not_follow_is_corruption(
    unsealed, first_seq: int, link: bytes | None
) -> None:
    path = unsealed.paths[0]
    data = path.read_bytes()
    identity = decode_segment_header(memoryview(data))[0].identity
    encoded = encode_payload(unsealed.batch(2, 11), 0)
    head, _ = encode_frame(
        encoded, first_seq=first_seq, durable_seq=0, link=link or frames(path)[-1].hash,
        offset=len(data), identity=identity,
    )  # fmt: skip
    path.write_bytes(data + head + encoded.payload)
    with pytest.raises(CorruptLog, match="does not follow"):
        unsealed.scan()


@pytest.mark.parametrize(
    "changes", [{"batches": 4}, {"last_seq": 9}, {"final_hash": bytes(32)}, {"max_time": 1 << 62}]
)
def test_a_good_seal_that_does_not_agree_is_corruption(unsealed, changes: dict) -> None:
    path = unsealed.paths[0]
    data = path.read_bytes()
    (info,) = unsealed.scan().segments
    path.write_bytes(data + replace(info.seal(), **changes).encode(info.header.identity, len(data)))
    with pytest.raises(CorruptLog, match="does not agree"):
        unsealed.scan()


# ------------------------------------------------------------------------------------ the chain of segments


@pytest.fixture
def chained(log):
    """Four sealed segments of one batch of five events each."""
    log.filled([5] * 4, segment_bytes=1)
    assert len(log.paths) == 4
    return log


def test_a_missing_segment_is_named(chained) -> None:
    chained.paths[1].unlink()
    with pytest.raises(MissingSegment) as caught:
        chained.scan()
    assert (caught.value.first, caught.value.last) == (6, 10)
    with pytest.raises(MissingSegment):
        chained.scan(after_seq=9)


def test_a_missing_segment_that_a_checkpoint_covers_is_noted(chained) -> None:
    chained.paths[1].unlink()
    scan = chained.scan(after_seq=10)
    assert (scan.gaps, scan.last_seq) == (((6, 10),), 20)


def test_a_log_may_begin_after_its_deleted_part(chained) -> None:
    chained.paths[0].unlink()
    assert chained.scan(after_seq=5).gaps == ()
    with pytest.raises(MissingSegment) as caught:
        chained.scan(after_seq=3)
    assert (caught.value.first, caught.value.last) == (4, 5)


@pytest.mark.parametrize("after_seq", [0, 12, 20])
def test_a_segment_without_a_seal_must_be_the_last(chained, after_seq: int) -> None:
    cut(chained.paths[1], chained.paths[1].stat().st_size - SEAL.size)
    with pytest.raises(CorruptLog, match="seal"):
        chained.scan(after_seq=after_seq)


def test_covered_segments_are_not_read_whole(chained) -> None:
    flip(chained.paths[0], SEGMENT_HEADER.size + 100)
    with pytest.raises(CorruptLog):
        chained.scan()
    assert chained.scan(after_seq=5).last_seq == 20


def test_a_replaced_segment_is_corruption(chained, tmp_path: Path) -> None:
    other = type(chained)(tmp_path / "other")
    other.directory.mkdir()
    writer = other.writer("group", segment_bytes=1)
    for first in (101, 106, 111, 116):  # other events under the same sequences
        writer.append(other.batch(5, first))
    writer.close()
    chained.paths[2].write_bytes(other.paths[2].read_bytes())
    with pytest.raises(CorruptLog, match="does not continue"):
        chained.scan()


def test_a_segment_of_another_store_or_name_is_refused(chained) -> None:
    chained.identity = LogIdentity(b"another store id", 1)
    with pytest.raises(CorruptLog, match="of store"):
        chained.scan()
    chained.identity = LogIdentity(bytes(range(16)), 1)
    chained.paths[0].rename(chained.directory / "wal-00000000000000000002.seg")
    with pytest.raises(CorruptLog, match="its name does not"):
        chained.scan(after_seq=1)


def test_other_files_and_other_shards_are_let_alone(chained) -> None:
    (chained.directory / "wal-00000000000000000001.seg.tmp").write_bytes(b"left over")
    (chained.directory / "wal-r00001-s00001-00000000000000000003.seg").write_bytes(b"not ours")
    assert chained.scan().last_seq == 20


def test_an_epoch_never_falls(log) -> None:
    log.identity = LogIdentity(bytes(range(16)), 5)
    first = log.filled([2])
    log.filled([2], next_seq=3, previous_hash=first.head_hash, identity=LogIdentity(bytes(range(16)), 4))
    with pytest.raises(CorruptLog, match="epoch 4 after epoch 5"):
        log.scan()


@pytest.mark.parametrize("number", [0, 3])
def test_a_newer_segment_is_refused_untouched(chained, number: int) -> None:
    path = chained.paths[number]
    before = bytearray(path.read_bytes())
    before[10] = 2  # the version that a reader must have
    before[96:128] = segment._header_hash(bytes(before[:96]))
    path.write_bytes(before)
    with pytest.raises(FormatTooNew, match="upgrade"):
        chained.scan()
    assert path.read_bytes() == before


def test_every_changed_byte_of_a_finished_segment_is_seen(chained) -> None:
    path = chained.paths[1]
    whole = bytearray(path.read_bytes())
    for offset in range(len(whole)):
        whole[offset] ^= 0x10
        path.write_bytes(whole)
        with pytest.raises(CorruptLog) as caught:
            chained.scan()
        assert caught.value.path == path
        whole[offset] ^= 0x10


def test_the_last_segment_is_read_from_the_device(chained, monkeypatch) -> None:
    dropped = []
    open_read = chained.fs.open_read

    def opened(path: Path):
        file = open_read(path)
        drop = file.drop_cache
        file.drop_cache = lambda: (dropped.append(path), drop())
        return file

    monkeypatch.setattr(chained.fs, "open_read", opened)
    chained.scan()
    assert dropped == [chained.paths[-1]]


def test_a_read_error_is_not_the_end_of_the_log(unsealed, monkeypatch) -> None:
    def fail(path: Path):
        raise StorageError(errno.EIO, "read")

    monkeypatch.setattr(unsealed.fs, "open_read", fail)
    with pytest.raises(StorageError):
        unsealed.scan()


def test_a_file_that_is_too_large_is_not_read(unsealed) -> None:
    with unsealed.paths[0].open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CorruptLog, match="no segment has more"):
        unsealed.scan()
