"""Archive files read: nothing else than the file is needed. Every byte is checked before it is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from tidal.archive.dictionaries import ENTRIES_DIFFER, Placed, read_copies, read_dictionaries
from tidal.durable import File, FileSystem
from tidal.errors import CorruptArchive, FormatError, FormatTooNew, MissingSegment, SchemaError
from tidal.format.archive import (
    ARCHIVE_HEADER,
    ArchiveHeader,
    BlockEntry,
    PlainHash,
    check_directory,
    cut_directory,
    decode_archive_header,
    decode_block,
    decode_dictionaries,
    decode_entries,
)
from tidal.format.payload import Shared
from tidal.schema import EventBatch, Schema
from tidal.schema.evolution import schema_from_json
from tidal.wal.reader import Wanted, cut_rows


class ArchiveFile:
    """An open archive file: ``header``, ``schema``, its blocks. Use it in a ``with`` block, or close() it.

    Header, schema and directory were checked when it is made; dictionaries and blocks are when they are read,
    the dictionaries with the first block. Memory: the directory, the dictionaries (DICTIONARY_IDS_MAX ids)
    and one block. Raises CorruptArchive, FormatTooNew, StorageError.
    """

    def __init__(self, fs: FileSystem, path: Path, *, from_device: bool = False) -> None:
        self.path = path
        self._file: File = fs.open_read(path)
        try:
            if from_device:
                self._file.drop_cache()
            self.header, self.schema, self._directory = self._read_front()
            self._shared: Shared | None = None  # before the first block
        except BaseException:
            self.close()
            raise

    def _read_front(self) -> tuple[ArchiveHeader, Schema, memoryview]:
        at = 0
        try:
            data = self._file.read_at(0, ARCHIVE_HEADER.size)
            header = decode_archive_header(data, self._file.size())
            at = ARCHIVE_HEADER.size
            front = self._file.read_at(at, header.directory_end - at)
            check_directory(header, front)
            schema = schema_from_json(front[: header.schema_bytes])
        except (FormatError, SchemaError) as error:
            raise CorruptArchive(self.path, at, str(error)) from error
        except FormatTooNew as error:
            raise FormatTooNew(f"{self.path}: {error}") from None
        return header, schema, memoryview(front)[header.schema_bytes :]

    def blocks(self) -> Iterator[BlockEntry]:
        """Yield the rows of the directory, in order."""
        try:
            yield from decode_entries(self.header, self._directory)
        except FormatError as error:
            at = ARCHIVE_HEADER.size + self.header.schema_bytes
            raise CorruptArchive(self.path, at, str(error)) from error

    def read(self, entry: BlockEntry) -> EventBatch:
        """Return the events of a block."""
        return self._decode(entry, self._stored(entry))

    def events(
        self, wanted: Wanted | None = None, *, after_seq: int = 0, until_seq: int | None = None
    ) -> Iterator[tuple[int, EventBatch]]:
        """Yield (first seq, batch) of each block that is wanted, after ``after_seq`` up to ``until_seq``."""
        for entry in self.blocks():
            if until_seq is not None and entry.first_seq > until_seq:
                return
            if entry.last_seq > after_seq and (
                wanted is None or wanted.overlaps(entry.min_time, entry.max_time, entry.types)
            ):
                yield cut_rows(self.read(entry), entry.first_seq, after_seq, until_seq)

    def verify(self) -> None:
        """Check every byte, decode every event, and compare both hashes of the whole."""
        stored_hash, plain_hash = blake3(), PlainHash()
        placed = self._dictionaries()
        stored_hash.update(self._copies(placed, 0))
        for entry in self.blocks():
            stored = self._stored(entry)
            stored_hash.update(stored)
            plain_hash.add(self._decode(entry, stored))
        stored_hash.update(self._copies(placed, 1))
        rows = cut_directory(self.header, self._directory)[1]
        at = self.header.file_bytes - len(rows)
        if self._file.read_at(at, len(rows)) != rows:
            raise CorruptArchive(self.path, at, ENTRIES_DIFFER)
        stored_hash.update(rows)
        if stored_hash.digest() != self.header.stored_hash:
            raise CorruptArchive(self.path, self.header.directory_end, "the blocks do not match their hash")
        if plain_hash.digest() != self.header.plain_hash:
            raise CorruptArchive(self.path, self.header.directory_end, "the events do not match their hash")

    def close(self) -> None:
        self._file.close()

    def _stored(self, entry: BlockEntry) -> bytes:
        return self._file.read_at(entry.offset, entry.stored_bytes)

    def _dictionaries(self) -> Placed:
        try:
            return decode_dictionaries(self.header, cut_directory(self.header, self._directory)[1])
        except FormatError as error:
            at = ARCHIVE_HEADER.size + self.header.schema_bytes
            raise CorruptArchive(self.path, at, str(error)) from error

    def _copies(self, placed: Placed, number: int) -> bytes:
        """Return the bytes of all dictionaries, each checked: the first copies, or the second."""
        parts = []
        for _, place, stored, ids in read_copies(self._file, placed, number):
            if isinstance(ids, str):
                raise CorruptArchive(self.path, place, ids)
            parts.append(stored)
        return b"".join(parts)

    def _decode(self, entry: BlockEntry, stored: bytes) -> EventBatch:
        if self._shared is None:
            shared = read_dictionaries(self._file, self._dictionaries())
            # Of several threads the first one's: a replay tells dictionaries by their identity.
            if self._shared is None:
                self._shared = shared
        try:
            return decode_block(entry, stored, self._shared)
        except FormatError as error:
            raise CorruptArchive(self.path, entry.offset, str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def verify_archive(fs: FileSystem, path: Path, *, from_device: bool = False) -> ArchiveHeader:
    """Return the header of an archive file once every byte of it was checked and every event decoded.

    ``from_device`` drops what the kernel has cached of the file first. Raises CorruptArchive, FormatTooNew,
    StorageError.
    """
    with ArchiveFile(fs, path, from_device=from_device) as file:
        file.verify()
        return file.header


def archive_schema(fs: FileSystem, paths: Path | Sequence[Path]) -> Schema:
    """Return the schema in the last of these archive files: types are only ever added."""
    with ArchiveFile(fs, _in_a_row(paths)[-1]) as file:
        return file.schema


def read_archive(
    fs: FileSystem,
    paths: Path | Sequence[Path],
    *,
    after_seq: int = 0,
    until_seq: int | None = None,
    since: int | None = None,
    until: int | None = None,
    types: Collection[int] | None = None,
) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) of the events after ``after_seq`` in one archive file or several, in order.

    Several must follow each other: each continues the chain of the one before it. Blocks without an event
    in ``since <= time < until`` (ns) or of one of ``types`` are left out unread; a batch that is yielded
    is whole in these respects. ``until_seq``: the last sequence wanted.

    Memory: one directory, one block and the dictionaries of one file. Raises CorruptArchive, MissingSegment,
    FormatTooNew, StorageError.
    """
    wanted = Wanted.of(since, until, types)
    before: ArchiveHeader | None = None
    for path in _in_a_row(paths):
        with ArchiveFile(fs, path) as file:
            if before is not None:
                check_follows(path, before.log.store_id, before.last_seq, before.final_hash, file.header)
            yield from file.events(wanted, after_seq=after_seq, until_seq=until_seq)
            before = file.header


def check_follows(
    path: Path, store_id: bytes, last_seq: int, head_hash: bytes, header: ArchiveHeader
) -> None:
    """Raise unless the archive with this header goes on where a history with this end stopped."""
    if header.log.store_id != store_id:
        raise CorruptArchive(path, 0, f"it is of store {header.log.store_id.hex()}, not {store_id.hex()}")
    if header.base_seq > last_seq + 1:
        raise MissingSegment(last_seq + 1, header.base_seq - 1, path.parent)
    if header.base_seq <= last_seq or header.previous != head_hash:
        raise CorruptArchive(
            path, 0, f"it begins at event {header.base_seq} and does not continue event {last_seq} before it"
        )


def _in_a_row(paths: Path | Sequence[Path]) -> Sequence[Path]:
    if isinstance(paths, Path):
        return [paths]
    if not paths:
        raise ValueError("no archive file was named")
    return paths
