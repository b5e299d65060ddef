"""Find, verify and read checkpoints; nothing here changes one, except to move a damaged one aside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tidal.durable import File, FileSystem, set_aside
from tidal.errors import CorruptCheckpoint, FormatTooNew
from tidal.format.snapshot import (
    HEADER_BYTES,
    DamagedSnapshot,
    Section,
    SectionEntry,
    SnapshotHeader,
    check_digest,
    check_padding,
    decode_directory,
    decode_header,
    decode_section,
    hasher,
    parse_checkpoint_name,
)
from tidal.records import record

_VERIFY_CHUNK_BYTES = 4 << 20  # verification holds this much of a file, whatever its size


@record
class Checkpoint:
    """A verified checkpoint. Its arrays are read-only."""

    seq: int  # the last event that the sections include
    store_id: bytes
    epoch: int
    log_hash: bytes  # the log's head hash at seq
    meta: dict[str, Any]
    sections: dict[str, Section]


class CheckpointFile(NamedTuple):
    """A file that is a checkpoint by its name."""

    seq: int
    path: Path


class DamagedFile(NamedTuple):
    """A checkpoint that was passed over; path is where it lies now."""

    path: Path
    reason: str


def list_checkpoints(fs: FileSystem, directory: Path) -> list[CheckpointFile]:
    """Return the checkpoints in a folder by their names, newest first."""
    named = ((parse_checkpoint_name(name), directory / name) for name in fs.list_dir(directory))
    return sorted((CheckpointFile(seq, path) for seq, path in named if seq is not None), reverse=True)


def read_checkpoint(fs: FileSystem, path: Path) -> Checkpoint:
    """Return a checkpoint, every byte of the file verified.

    Raises CorruptCheckpoint, FormatTooNew, or StorageError where the disk refuses to read.
    """
    with _opened(fs, path) as source:
        header = source.header
        sections = {
            entry.name: decode_section(entry, source.file.read_at(entry.offset, entry.padded_bytes))
            for entry in source.entries
        }
        return Checkpoint(header.seq, header.store_id, header.epoch, header.log_hash, source.meta, sections)


def read_header(fs: FileSystem, path: Path) -> SnapshotHeader:
    """Return a checkpoint's header; its own digest is checked, the rest of the file is not read."""
    with _opened(fs, path) as source:
        return source.header


def verify_checkpoint(fs: FileSystem, path: Path, *, from_device: bool = False) -> SnapshotHeader:
    """Return the header once every byte of the file matches its digest; memory does not grow with the file.

    ``from_device`` drops what the kernel has cached of the file first: slower, and it finds what never
    reached the disk. Raises as read_checkpoint.
    """
    with _opened(fs, path, from_device=from_device) as source:
        for entry in source.entries:
            verify_section(source.file, entry)
        return source.header


def newest_good(
    fs: FileSystem, directory: Path, store_id: bytes, quarantine: Path | None = None
) -> tuple[Checkpoint | None, list[DamagedFile]]:
    """Return the newest checkpoint of this store that verifies, and the newer files that do not.

    Those are moved to the quarantine folder if one is given, and left alone otherwise. A file of a newer
    format (FormatTooNew) or one that cannot be read (StorageError) is not damage: it is raised.
    """
    damaged: list[DamagedFile] = []
    for _, path in list_checkpoints(fs, directory):
        try:
            checkpoint = read_checkpoint(fs, path)
        except CorruptCheckpoint as error:
            reason = f"at byte {error.offset}: {error.reason}"
        else:
            if checkpoint.store_id == store_id:
                return checkpoint, damaged
            reason = f"it belongs to the store {checkpoint.store_id.hex()}"
        damaged.append(DamagedFile(set_aside(fs, path, quarantine) if quarantine else path, reason))
    return None, damaged


class _Source(NamedTuple):
    file: File
    header: SnapshotHeader
    entries: tuple[SectionEntry, ...]
    meta: dict[str, Any]


@contextlib.contextmanager
def _opened(fs: FileSystem, path: Path, *, from_device: bool = False) -> Iterator[_Source]:
    """Open a checkpoint with header and directory verified; name the file in what decoding raises."""
    file = fs.open_read(path)
    try:
        if from_device:
            file.drop_cache()
        header = decode_header(file.read_at(0, HEADER_BYTES), file.size())
        if parse_checkpoint_name(path.name) not in (None, header.seq):
            raise DamagedSnapshot(0, f"the file is of sequence {header.seq}; its name says another")
        directory = file.read_at(HEADER_BYTES, header.sections_offset - HEADER_BYTES)
        yield _Source(file, header, *decode_directory(header, directory))
    except DamagedSnapshot as error:
        raise CorruptCheckpoint(path, error.offset, error.reason) from error
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from error
    finally:
        file.close()


def verify_section(file: File, entry: SectionEntry) -> None:
    """Raise DamagedSnapshot unless a section's bytes match its digest; memory does not grow with it."""
    state = hasher(entry.stored_bytes)
    position, end = entry.offset, entry.offset + entry.stored_bytes
    while position < end:
        chunk = file.read_at(position, min(end - position, _VERIFY_CHUNK_BYTES))
        if not chunk:
            break  # the file was cut meanwhile: the digest will not match
        state.update(chunk)
        position += len(chunk)
    check_digest(entry, state.digest())
    check_padding(entry, file.read_at(end, entry.padded_bytes - entry.stored_bytes))
