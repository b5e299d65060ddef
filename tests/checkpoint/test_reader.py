"""Reading checkpoints: whole files are verified, damaged ones are passed over and kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidal.checkpoint import (
    list_checkpoints,
    newest_good,
    read_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from tidal.checkpoint.reader import read_header
from tidal.durable import OsFileSystem
from tidal.errors import CorruptCheckpoint, CorruptStore, FormatTooNew, StorageError
from tidal.format import snapshot
from tidal.format.snapshot import checkpoint_name

FS = OsFileSystem()
STORE = bytes(range(16))
SECTIONS: dict[str, Any] = {"view.ids": np.arange(1000, dtype=np.uint64), "notes": b"text"}


def write(folder: Path, seq: int, store_id: bytes = STORE) -> Path:
    return write_checkpoint(
        FS,
        folder,
        seq=seq,
        store_id=store_id,
        epoch=7,
        log_hash=bytes(32),
        meta={"seq": seq},
        sections=SECTIONS,
        compress=("view.ids",),
    )


def damage(path: Path, place: int = -100) -> bytes:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    return bytes(data)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(FS, write(tmp_path, 5))
    assert (checkpoint.seq, checkpoint.store_id, checkpoint.epoch, checkpoint.log_hash, checkpoint.meta) == (
        5,
        STORE,
        7,
        bytes(32),
        {"seq": 5},
    )
    assert list(checkpoint.sections) == ["notes", "view.ids"]
    assert checkpoint.sections["notes"] == b"text"
    assert np.array_equal(checkpoint.sections["view.ids"], SECTIONS["view.ids"])


def test_only_checkpoints_are_listed_newest_first(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in (9, 10, 200)]
    for name in (checkpoint_name(11) + ".tmp", "checkpoint-12.ckpt", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert list_checkpoints(FS, tmp_path) == list(zip((200, 10, 9), reversed(paths), strict=True))
    assert list_checkpoints(FS, tmp_path / "absent") == []


@pytest.mark.parametrize("read", [read_checkpoint, verify_checkpoint])
@pytest.mark.parametrize("place", [0, 100, 200, 800, -1, -100])
def test_damage_is_found_and_named(tmp_path: Path, read: Any, place: int) -> None:
    path = write(tmp_path, 5)
    verify_checkpoint(FS, path)
    data = damage(path, place)
    with pytest.raises(CorruptCheckpoint, match=f"^{path} at byte ") as caught:
        read(FS, path)
    assert (caught.value.path, path.read_bytes()) == (path, data)


@pytest.mark.parametrize("read", [read_checkpoint, verify_checkpoint])
@pytest.mark.parametrize("length", [0, 10, 191, 192, 300, -1, -64])
def test_a_cut_file_is_found(tmp_path: Path, read: Any, length: int) -> None:
    path = write(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CorruptCheckpoint):
        read(FS, path)


def test_the_header_alone_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, 5)
    header = verify_checkpoint(FS, path)
    damage(path, -100)
    assert read_header(FS, path) == header


def test_a_name_that_lies_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, 5).rename(tmp_path / checkpoint_name(6))
    with pytest.raises(CorruptCheckpoint, match="the file is of sequence 5; its name says another"):
        read_checkpoint(FS, path)
    path = path.rename(tmp_path / "kept aside")
    assert read_checkpoint(FS, path).seq == 5


def test_large_files_are_verified_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidal.checkpoint.reader._VERIFY_CHUNK_BYTES", 100)
    path = write(tmp_path, 5)
    assert verify_checkpoint(FS, path).seq == 5
    damage(path, -100)
    with pytest.raises(CorruptCheckpoint, match="does not match its digest"):
        verify_checkpoint(FS, path)


# ---------------------------------------------------------------------------------- newest_good


def test_the_newest_is_taken(tmp_path: Path) -> None:
    for seq in (1, 2):
        write(tmp_path, seq)
    checkpoint, damaged = newest_good(FS, tmp_path, STORE)
    assert checkpoint is not None
    assert (checkpoint.seq, damaged) == (2, [])


def test_nothing_there(tmp_path: Path) -> None:
    assert newest_good(FS, tmp_path, STORE) == (None, [])
    assert newest_good(FS, tmp_path / "absent", STORE) == (None, [])


def test_damaged_ones_are_passed_over_and_left(tmp_path: Path) -> None:
    paths = [write(tmp_path, seq) for seq in (1, 2, 3)]
    kept = [damage(path) for path in paths[1:]]
    checkpoint, damaged = newest_good(FS, tmp_path, STORE)
    assert checkpoint is not None
    assert checkpoint.seq == 1
    assert [path for path, _ in damaged] == [paths[2], paths[1]]
    assert all("does not match its digest" in reason for _, reason in damaged)
    assert [path.read_bytes() for path in paths[1:]] == kept


def test_all_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    damage(path)
    checkpoint, damaged = newest_good(FS, tmp_path, STORE)
    assert checkpoint is None
    assert [file.path for file in damaged] == [path]


def test_damaged_ones_go_to_quarantine_under_a_name_that_is_free(tmp_path: Path) -> None:
    folder, quarantine = tmp_path / "checkpoints", tmp_path / "quarantine"
    folder.mkdir()
    evidence = []
    for attempt in range(3):
        path = write(folder, 5)
        evidence.append(damage(path, -100 - attempt))
        checkpoint, damaged = newest_good(FS, folder, STORE, quarantine)
        assert checkpoint is None
        assert damaged[0].path.read_bytes() == evidence[-1]
        assert not path.exists()
    assert {path.read_bytes() for path in quarantine.iterdir()} == set(evidence)


def test_another_stores_checkpoint_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2, store_id=b"another store id")
    checkpoint, damaged = newest_good(FS, tmp_path, STORE)
    assert checkpoint is not None
    assert (checkpoint.seq, damaged[0].reason) == (1, f"it belongs to the store {b'another store id'.hex()}")


def test_a_newer_format_is_refused_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "READER_VERSION_MIN", 2)
        patch.setattr(snapshot, "VERSION", 2)
        path = write(tmp_path, 2)
    before = path.read_bytes()
    with pytest.raises(FormatTooNew, match=f"^{path}: .* Upgrade tidal"):
        newest_good(FS, tmp_path, STORE, tmp_path / "quarantine")
    assert path.read_bytes() == before
    assert not (tmp_path / "quarantine").exists()


def test_a_read_error_is_not_damage(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2)

    class Failing(OsFileSystem):
        def open_read(self, path: Path) -> Any:
            raise StorageError(5, "Input/output error", str(path))

    with pytest.raises(StorageError, match="Input/output error"):
        newest_good(Failing(), tmp_path, STORE, tmp_path / "quarantine")
    assert path.exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    (tmp_path / "second name").hardlink_to(path)
    with pytest.raises(CorruptStore, match="one name"):
        newest_good(FS, tmp_path, STORE)


def test_a_checkpoint_is_a_value(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(FS, write(tmp_path, 5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        checkpoint.seq = 6  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        checkpoint.sections["view.ids"][0] = 1  # type: ignore[index]
