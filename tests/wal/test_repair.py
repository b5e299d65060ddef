from __future__ import annotations

import pytest

from tidal.errors import CorruptLog, StorageError
from tidal.format.segment import SEAL, SEGMENT_HEADER
from tidal.wal import repair_tail


@pytest.fixture
def torn(log):
    """Five events in two batches, and half of a third."""
    log.filled([2, 3, 4])
    path = log.paths[0]
    path.write_bytes(path.read_bytes()[: -SEAL.size - 20])
    return log


def test_a_torn_tail_is_put_aside_and_the_rest_sealed(torn) -> None:
    path = torn.paths[0]
    scan = torn.scan()
    removed = path.read_bytes()[scan.torn.offset :]
    repaired = torn.repair()
    assert (repaired.last_seq, repaired.head_hash) == (5, scan.head_hash)
    assert repaired.segments == torn.scan().segments
    assert not repaired.needs_repair
    (kept,) = (torn.directory.parent / "quarantine").iterdir()
    assert kept.read_bytes() == removed
    assert kept.name.startswith(f"{path.name}.{scan.torn.offset}.")
    assert torn.events() == [1, 2, 3, 4, 5]


def test_writing_goes_on_after_a_repair(torn) -> None:
    repaired = torn.repair()
    torn.filled([2], next_seq=repaired.last_seq + 1, previous_hash=repaired.head_hash)
    assert torn.events() == list(range(1, 8))
    assert torn.scan().last_seq == 7


def test_a_whole_last_segment_is_written_anew_too(log) -> None:
    log.filled([2, 3])
    before = log.paths[0].read_bytes()
    inode = log.paths[0].stat().st_ino
    scan = log.scan()
    assert log.repair().segments == scan.segments == log.scan().segments
    assert log.paths[0].read_bytes() == before
    assert log.paths[0].stat().st_ino != inode
    assert not (log.directory.parent / "quarantine").exists()


@pytest.mark.parametrize("left", [b"", b"half a header", bytes(300)])
def test_a_segment_without_a_header_is_removed(log, left: bytes) -> None:
    first = log.filled([2])
    path = log.directory / "wal-00000000000000000003.seg"
    path.write_bytes(left)
    repaired = log.repair()
    assert repaired.segments == log.scan().segments
    assert (repaired.last_seq, repaired.head_hash) == (2, first.head_hash)
    assert not path.exists()


def test_a_segment_without_a_batch_is_removed(log) -> None:
    first = log.filled([2])
    log.filled([2], next_seq=3, previous_hash=first.head_hash)
    path = log.paths[1]
    path.write_bytes(path.read_bytes()[: SEGMENT_HEADER.size])
    scan = log.scan()
    assert scan.needs_repair
    assert (scan.last_seq, scan.head_hash) == (2, first.head_hash)
    repaired = log.repair()
    assert repaired.segments == log.scan().segments
    assert not path.exists()
    log.filled([1], next_seq=3, previous_hash=repaired.head_hash)
    assert log.events() == [1, 2, 3]


def test_nothing_to_repair(log) -> None:
    assert log.repair().segments == ()


@pytest.mark.parametrize("call", ["create", "append", "sync", "rename", "sync_dir"])
def test_a_repair_that_fails_can_be_made_again(torn, faulty, call: str) -> None:
    before = torn.scan()
    for _ in range(2):
        faulty.errors[call] = StorageError(5, "fault")
        with pytest.raises(StorageError):
            torn.repair()
        assert torn.scan().last_seq == before.last_seq
        assert torn.scan().head_hash == before.head_hash
    assert torn.repair().segments == torn.scan().segments
    assert torn.scan().last_seq == 5
    assert len(list((torn.directory.parent / "quarantine").glob("*[!p]"))) == 1


def test_the_steps_are_in_the_order_that_durability_needs(torn, faulty) -> None:
    torn.repair()
    segment = torn.paths[0].name
    (kept,) = (path.name for path in (torn.directory.parent / "quarantine").iterdir())
    parent = torn.directory.parent.name
    assert faulty.calls == [
        ("sync_dir", parent),
        ("create", f"{kept}.tmp"), ("append", f"{kept}.tmp"), ("sync", f"{kept}.tmp"),
        ("rename", kept), ("sync_dir", "quarantine"),
        ("create", f"{segment}.tmp"), ("append", f"{segment}.tmp"), ("append", f"{segment}.tmp"),
        ("sync", f"{segment}.tmp"), ("rename", segment), ("sync_dir", torn.directory.name),
    ]  # fmt: skip


def test_a_removal_is_made_durable(log, faulty) -> None:
    path = log.directory / "wal-00000000000000000001.seg"
    path.write_bytes(b"")
    log.repair()
    assert faulty.calls[-2:] == [("remove", path.name), ("sync_dir", log.directory.name)]


def test_a_bad_copy_is_not_put_in_place(torn) -> None:
    before = torn.paths[0].read_bytes()
    scan = torn.scan()
    changed = bytearray(before)
    changed[200] ^= 1  # between the scan and the copy
    torn.paths[0].write_bytes(changed)
    with pytest.raises(CorruptLog, match="not what was written"):
        repair_tail(torn.fs, scan, torn.directory.parent / "quarantine")
    assert torn.paths[0].read_bytes() == changed
