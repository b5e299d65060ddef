"""The checkpoints of a store: every section of each, not only up to the first that is bad."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tidal.checkpoint.reader import verify_section
from tidal.durable import TEMPORARY_SUFFIX, File, FileSystem
from tidal.errors import CorruptionError, FormatTooNew, StorageError
from tidal.format.snapshot import (
    HEADER_BYTES,
    DamagedSnapshot,
    SnapshotHeader,
    decode_directory,
    decode_header,
    parse_checkpoint_name,
)
from tidal.inspect.findings import Notebook
from tidal.inspect.log import Advance


class GoodCheckpoint(NamedTuple):
    """A checkpoint of which every byte was verified."""

    path: Path
    seq: int
    log_hash: bytes


def check_checkpoints(
    fs: FileSystem, directory: Path, store_id: bytes | None, book: Notebook, advance: Advance
) -> list[GoodCheckpoint]:
    """Note all that is wrong with the checkpoints in a folder; return the good ones, newest first."""
    good = []
    for name in fs.list_dir(directory):
        path = directory / name
        if parse_checkpoint_name(name) is not None:
            header = check_checkpoint(fs, path, store_id, book, advance)
            if header is not None:
                good.append(GoodCheckpoint(path, header.seq, header.log_hash))
        elif name.endswith(TEMPORARY_SUFFIX):
            book.note("leftover", path, "an unfinished checkpoint that a crash left, or a writer at work")
        else:
            book.note("not-ours", path, "not a checkpoint")
    return sorted(good, key=lambda checkpoint: checkpoint.seq, reverse=True)


def check_checkpoint(
    fs: FileSystem, path: Path, store_id: bytes | None, book: Notebook, advance: Advance
) -> SnapshotHeader | None:
    """Return the header of a checkpoint that is good as a whole; else note each section that is not."""
    before = len(book.findings)
    try:
        file = fs.open_read(path)
        try:
            size = file.size()
            header = _check_file(file, book)
        finally:
            file.close()
    except DamagedSnapshot as error:
        book.damage("checkpoint-damaged", path, error.reason, offset=error.offset)
        return None
    except (CorruptionError, FormatTooNew, StorageError) as error:
        if fs.exists(path):  # else a writer at work removed it: there are newer ones
            book.failed(path, error, "checkpoint-damaged")
        return None
    book.looked(path, "checkpoints", size)
    advance(size)
    if parse_checkpoint_name(path.name) not in (None, header.seq):
        what = f"it is of event {header.seq}; its name says another"
        book.damage("checkpoint-damaged", path, what, offset=0)
    if store_id is not None and header.store_id != store_id:
        book.damage("checkpoint-foreign", path, f"it is of the store {header.store_id.hex()}", offset=0)
    return header if len(book.findings) == before else None


def _check_file(file: File, book: Notebook) -> SnapshotHeader:
    header = decode_header(file.read_at(0, HEADER_BYTES), file.size())
    entries, _ = decode_directory(header, file.read_at(HEADER_BYTES, header.sections_offset - HEADER_BYTES))
    for entry in entries:
        try:
            verify_section(file, entry)
        except DamagedSnapshot as error:
            book.damage("checkpoint-damaged", file.path, error.reason, offset=error.offset)
    return header
