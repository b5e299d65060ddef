"""The manifest of a log that is being written: when it changes, and what a crash between two steps leaves."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest

from tidal.errors import CorruptLog, MissingSegment, NoSpace, StorageError, StoreClosed, StorePoisoned
from tidal.format.manifest import MANIFEST_NAME, Manifest
from tidal.wal import read_manifest, repair_tail, scan_log, write_manifest

NO_SPACE = NoSpace(errno.ENOSPC, "write")


@pytest.fixture
def listed(log):
    """Opens writers whose log has a manifest, as opening a store does."""

    class Listed:
        def __init__(self) -> None:
            log.directory.mkdir(exist_ok=True)
            write_manifest(log.fs, log.directory, Manifest(log.identity.store_id, 0, True))

        @property
        def manifest(self) -> Manifest:
            return read_manifest(log.fs, log.directory, log.identity)

        def scan(self):
            return scan_log(log.fs, log.directory, log.identity, manifest=self.manifest)

        def writer(self, **options):
            scan = repair_tail(log.fs, self.scan(), log.directory.parent / "quarantine")
            known = self.manifest
            added = tuple(it.listing for it in scan.segments if it.base_seq > known.last_seq)
            opened = replace(known, epoch=known.epoch + 1, clean=False, segments=(*known.segments, *added))
            write_manifest(log.fs, log.directory, opened)
            return log.writer(
                "group", scan.last_seq + 1, scan.head_hash, identity=opened.log, manifest=opened,
                segment_bytes=1, **options,
            )  # fmt: skip

    return Listed()


def append(log, writer, count: int = 1) -> None:
    for _ in range(count):
        writer.commit(writer.append(log.batch(2, writer.last_seq + 1))[1])


def bases(manifest: Manifest) -> list[int]:
    return [segment.base_seq for segment in manifest.segments]


def test_a_segment_is_listed_when_it_is_sealed(log, listed) -> None:
    writer = listed.writer()
    append(log, writer, 3)
    assert bases(listed.manifest) == [1, 3] and not listed.manifest.clean
    assert writer.manifest == listed.manifest
    assert [it.listing for it in writer.segments[:2]] == list(listed.manifest.segments)
    writer.close()
    assert bases(listed.manifest) == [1, 3, 5] and listed.manifest.clean
    assert (listed.manifest.last_seq, listed.manifest.head_hash) == (6, writer.head_hash)
    assert listed.scan().proven and not listed.scan().needs_repair


def test_a_log_that_wrote_nothing_is_closed_too(log, listed) -> None:
    listed.writer().close()
    assert listed.manifest == Manifest(log.identity.store_id, 1, True)
    assert log.paths == []


def test_the_list_comes_after_the_seal_and_before_the_next_is_full(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer, 2)
    one, two = (path.name for path in log.paths)
    temporary = f"{MANIFEST_NAME}.tmp"
    calls = [call for call in faulty.calls if call[0] in ("create", "rename", "sync")]
    assert calls[calls.index(("create", one)) :] == [
        ("create", one), ("sync", one),
        ("sync", one),
        ("sync", one), ("sync", one),  # before the seal, and after it
        ("create", two), ("sync", two),
        ("create", temporary), ("sync", temporary), ("rename", MANIFEST_NAME),
        ("sync", two),
    ]  # fmt: skip


def test_a_full_disk_keeps_a_segment_off_the_list_and_nothing_else(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer, 2)
    assert bases(listed.manifest) == [1]
    original = faulty.create

    def full(path):
        if path.name.startswith(MANIFEST_NAME):
            raise NO_SPACE
        return original(path)

    faulty.create = full
    append(log, writer, 2)
    assert bases(listed.manifest) == [1] and writer.manifest_error is NO_SPACE
    assert writer.error is None and writer.durable_seq == 8
    faulty.create = original
    append(log, writer)
    assert bases(listed.manifest) == [1, 3, 5, 7] and writer.manifest_error is None


def test_any_other_failure_poisons(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer)
    faulty.errors["rename"] = StorageError(errno.EIO, "fault")
    with pytest.raises(StorePoisoned):
        append(log, writer)  # goes to the next segment, and the first is to be listed
    assert writer.durable_seq == 2 and listed.manifest.segments == ()


def test_a_close_that_cannot_be_noted_is_an_error_and_no_clean_one(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer)
    faulty.late_errors["sync"] = NO_SPACE  # of the seal: fatal
    with pytest.raises(StorePoisoned):
        writer.close()
    assert not listed.manifest.clean


def test_a_close_without_space_for_the_manifest_is_an_error(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer)
    faulty.errors["create"] = NO_SPACE
    with pytest.raises(NoSpace):
        writer.close()
    assert not listed.manifest.clean and listed.scan().needs_repair
    with pytest.raises(StoreClosed):
        writer.append(log.batch(1, 3))
    again = listed.writer()
    assert again.last_seq == 2


# ------------------------------------------------------------------------------------ forgetting


def test_segments_up_to_a_sequence_are_forgotten(log, listed) -> None:
    writer = listed.writer()
    append(log, writer, 5)
    paths = log.paths
    written = writer.bytes_written
    assert writer.forget(1) == ()
    assert writer.forget(5) == tuple(paths[:2])
    assert (listed.manifest.start_seq, bases(listed.manifest)) == (5, [5, 7])
    assert log.paths == paths[2:]
    assert (writer.last_seq, writer.bytes_written) == (10, written)
    append(log, writer)
    assert listed.scan().last_seq == 12
    assert writer.forget(10**6) == tuple(paths[2:])  # not the one that is being written
    assert (listed.manifest.start_seq, bases(listed.manifest)) == (11, [])
    writer.close()
    scan = listed.scan()
    assert (scan.last_seq, scan.head_hash) == (12, writer.head_hash)
    again = listed.writer()
    append(log, again)
    assert again.forget(10**6) == (log.directory / "wal-00000000000000000011.seg",)
    assert listed.scan().last_seq == 14


def test_all_of_a_closed_log_may_be_forgotten(log, listed) -> None:
    writer = listed.writer()
    append(log, writer, 2)
    writer.close()
    head = writer.head_hash
    again = listed.writer()
    assert len(again.forget(4)) == 2
    assert (again.last_seq, again.head_hash) == (4, head)
    again.close()
    assert log.paths == []
    assert (listed.scan().last_seq, listed.scan().head_hash) == (4, head)
    append(log, listed.writer())
    assert listed.scan().last_seq == 6


def test_the_manifest_comes_before_the_removal_and_the_oldest_goes_first(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer, 4)
    names = [path.name for path in log.paths]
    faulty.calls.clear()
    writer.forget(4)
    folder, temporary = log.directory.name, f"{MANIFEST_NAME}.tmp"
    assert faulty.calls == [
        ("create", temporary), ("append", temporary), ("sync", temporary), ("rename", MANIFEST_NAME),
        ("sync_dir", folder),
        ("remove", names[0]), ("remove", names[1]), ("sync_dir", folder),
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["create", "append", "sync", "rename"])
@pytest.mark.parametrize("error", [NO_SPACE, StorageError(errno.EIO, "fault")])
def test_nothing_is_removed_before_the_manifest_is_durable(
    log, faulty, listed, call: str, error: StorageError
) -> None:
    writer = listed.writer()
    append(log, writer, 4)
    paths = log.paths
    faulty.errors[call] = error
    with pytest.raises(StorageError):
        writer.forget(4)
    assert log.paths == paths
    assert bases(listed.manifest) == [1, 3, 5]
    assert len(writer.forget(4)) == 2
    assert listed.scan().last_seq == 8


def test_a_removal_that_fails_leaves_what_the_next_opening_removes(log, faulty, listed) -> None:
    writer = listed.writer()
    append(log, writer, 4)
    faulty.errors["remove"] = StorageError(errno.EIO, "fault")
    with pytest.raises(StorageError):
        writer.forget(4)
    assert listed.manifest.start_seq == 5
    append(log, writer)
    assert [path.name for path in listed.scan().leftovers] == [path.name for path in log.paths[:2]]
    assert listed.scan().last_seq == 10


def test_a_log_without_a_manifest_forgets_nothing(log) -> None:
    with pytest.raises(ValueError, match="manifest"):
        log.writer().forget(1)


def test_a_closed_log_forgets_nothing(log, listed) -> None:
    writer = listed.writer()
    writer.close()
    with pytest.raises(StoreClosed):
        writer.forget(1)


# ------------------------------------------------------------------------------------ scanning by it


def test_what_is_listed_must_be_there_as_listed(log, listed) -> None:
    writer = listed.writer()
    append(log, writer, 3)
    writer.close()
    last = log.paths[-1]
    data = last.read_bytes()
    last.unlink()
    with pytest.raises(MissingSegment) as missing:
        listed.scan()
    assert (missing.value.first, missing.value.last) == (5, 6)
    last.write_bytes(data + b"\0")
    with pytest.raises(CorruptLog):
        listed.scan()


def test_a_segment_that_the_archive_has_may_be_damaged_or_gone(log, listed) -> None:
    writer = listed.writer()
    append(log, writer, 4)
    writer.close()
    first, *_, last = log.paths
    first.unlink()
    damaged = bytearray(last.read_bytes())
    damaged[300] ^= 1
    last.write_bytes(damaged)
    with pytest.raises(MissingSegment):
        listed.scan()
    scan = scan_log(log.fs, log.directory, log.identity, manifest=listed.manifest, archived=lambda it: True)
    assert (scan.last_seq, scan.head_hash) == (8, writer.head_hash)
    assert [(it.listed.base_seq, it.path) for it in scan.replaced] == [(1, None), (7, last)]
    assert scan.needs_repair
    repaired = repair_tail(log.fs, scan, log.directory.parent / "quarantine")
    (kept,) = repaired.quarantined
    assert kept.read_bytes() == damaged and not last.exists()
    assert not repaired.needs_repair and repaired.last_seq == 8


def test_what_is_sealed_and_not_listed_is_written_anew(log, listed) -> None:
    """The sync of a seal may have failed: it looks well in the cache, and is not on the disk."""
    append(log, writer := listed.writer(), 2)
    before = listed.manifest
    writer.close()
    write_manifest(log.fs, log.directory, before)
    scan = listed.scan()
    assert scan.segments[-1].sealed and not scan.proven and scan.needs_repair
    inode = log.paths[-1].stat().st_ino
    repaired = repair_tail(log.fs, scan, log.directory.parent / "quarantine")
    assert log.paths[-1].stat().st_ino != inode and repaired.segments == scan.segments


@pytest.mark.parametrize("change", ["missing", "bytes", "store"])
def test_a_manifest_that_is_no_good_is_refused(log, listed, change: str) -> None:
    path = log.directory / MANIFEST_NAME
    if change == "missing":
        path.unlink()
    elif change == "bytes":
        path.write_bytes(path.read_bytes().replace(b"true", b"false"))
    else:
        write_manifest(log.fs, log.directory, Manifest(b"x" * 16, 0, True))
    with pytest.raises(CorruptLog, match="salvage"):
        read_manifest(log.fs, log.directory, log.identity)


def test_the_file_is_one_line_of_json(log, listed) -> None:
    (line,) = (log.directory / MANIFEST_NAME).read_text().splitlines()
    assert json.loads(line)["clean"] is True
