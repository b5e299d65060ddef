"""Archive files read alone and in a row; every byte of them is checked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from archivekit import Store

from tidal.archive import ArchiveFile, archive_schema, read_archive, verify_archive
from tidal.durable import OsFileSystem
from tidal.errors import CorruptArchive, FormatTooNew, MissingSegment, StorageError
from tidal.format.archive import ARCHIVE_HEADER

SECOND = 10**9
FS = OsFileSystem()


@pytest.fixture
def files(store) -> list[Path]:
    """Archives of the events 1 to 3, 4 to 7, 8 to 12; event n is at second n, of type n % 2."""
    store.fill([3, 4, 5, 2])
    store.archive()
    return [store.paths.archive / name for name in store.files]


def ids(paths: Path | list[Path], **options: object) -> list[int]:
    return [int(entity) for _, batch in read_archive(FS, paths, **options) for entity in batch.entity_id]


def test_a_file_needs_nothing_but_itself(files: list[Path], tmp_path: Path) -> None:
    alone = tmp_path / "any name"
    shutil.copy(files[1], alone)
    assert ids(alone) == [4, 5, 6, 7]
    assert archive_schema(FS, alone).names == ("view", "like")
    assert verify_archive(FS, alone).events == 4


def test_files_in_a_row(files: list[Path]) -> None:
    assert ids(files) == list(range(1, 13))
    assert ids(files[1:]) == list(range(4, 13))
    assert ids(files, after_seq=5, until_seq=9) == [6, 7, 8, 9]
    assert ids(files, after_seq=12) == []
    assert [first for first, _ in read_archive(FS, files, after_seq=5)] == [6, 8]


def test_blocks_are_left_out_by_time_and_type(files: list[Path], store) -> None:
    start = store.now
    assert ids(files, since=start + 4 * SECOND, until=start + 8 * SECOND) == [4, 5, 6, 7]
    assert ids(files, types=[2]) == []
    assert ids(files, types=[1, 9], since=start + 12 * SECOND) == list(range(8, 13))


def test_what_is_left_out_is_not_read(files: list[Path], store) -> None:
    data = bytearray(files[1].read_bytes())
    data[-1] ^= 1
    files[1].write_bytes(data)
    assert ids(files, until_seq=3) == [1, 2, 3]
    assert ids(files, since=store.now + 8 * SECOND) == list(range(8, 13))
    with pytest.raises(CorruptArchive) as damage:
        ids(files)
    assert damage.value.path == files[1]
    assert damage.value.offset > 352


def test_files_that_do_not_follow_each_other_are_refused(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MissingSegment) as gap:
        ids([files[0], files[2]])
    assert (gap.value.first, gap.value.last) == (4, 7)
    with pytest.raises(CorruptArchive, match="does not continue event 7"):
        ids([files[1], files[0]])
    other = Store(tmp_path / "other")
    other.fill([2, 1, 4, 2])
    other.archive()
    other.log.close()
    with pytest.raises(CorruptArchive, match="does not continue event 3"):
        ids([files[0], other.paths.archive / other.files[2]])
    with pytest.raises(ValueError, match="no archive"):
        ids([])


def test_every_bit_and_every_cut(files: list[Path], tmp_path: Path) -> None:
    data = files[1].read_bytes()
    path = tmp_path / "damaged"
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(CorruptArchive) as found:
            verify_archive(FS, path)
        assert found.value.offset <= position
        path.write_bytes(data[:position])
        with pytest.raises(CorruptArchive):
            verify_archive(FS, path)
    path.write_bytes(data + data[-1:])
    with pytest.raises(CorruptArchive):
        verify_archive(FS, path)


def test_a_newer_file_is_named(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidal.format.archive.ARCHIVE_VERSION", 0)
    with pytest.raises(FormatTooNew, match=str(files[0])):
        ids(files)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        ids(tmp_path / "none.arc")


def test_the_hash_of_all_blocks_and_of_all_events_are_checked(files: list[Path], tmp_path: Path) -> None:
    """A file whose other hashes are good: as a writer with a fault would make it."""

    with ArchiveFile(FS, files[1]) as file:
        header = file.header
    rest = files[1].read_bytes()[ARCHIVE_HEADER.size :]
    path = tmp_path / "wrong"
    for name, what in (("stored_hash", "blocks"), ("plain_hash", "events")):
        path.write_bytes(replace(header, **{name: bytes(32)}).encode() + rest)
        with pytest.raises(CorruptArchive, match=f"the {what} do not match their hash"):
            verify_archive(FS, path)
