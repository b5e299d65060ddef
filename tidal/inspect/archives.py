"""Archive files: every block of each, also behind damage."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from tidal.archive.dictionaries import ENTRIES_DIFFER, Placed, read_copies, read_dictionaries
from tidal.archive.marks import MARKS_BYTES_MAX, MARKS_FORMAT, MARKS_NAME, Marks
from tidal.durable import TEMPORARY_SUFFIX, File, FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, SchemaError, StorageError
from tidal.format.archive import (
    ARCHIVE_HEADER,
    BLOCK_ENTRY,
    ArchiveHeader,
    BlockEntry,
    PlainHash,
    archive_name,
    check_directory,
    cut_directory,
    decode_archive_header,
    decode_block,
    decode_dictionaries,
    decode_entries,
    header_hash,
    parse_archive_name,
)
from tidal.format.archive_manifest import (
    ARCHIVE_MANIFEST_NAME,
    ArchivedFile,
    ArchiveManifest,
    SegmentEnd,
    decode_archive_manifest,
)
from tidal.format.dictionary import stored_bytes
from tidal.format.document import bytes_of, decode_document
from tidal.format.payload import Shared
from tidal.format.segment import STORE_ID_BYTES
from tidal.history import archive_path
from tidal.inspect.documents import read_document
from tidal.inspect.findings import Notebook
from tidal.inspect.log import Advance
from tidal.records import record
from tidal.schema import EventBatch, Schema, schema_from_json
from tidal.schema.events import U64


@record
class ArchiveContents:
    """What the head of an archive file says; ``problem`` is what is wrong with schema and directory."""

    header: ArchiveHeader
    schema: Schema | None
    entries: tuple[BlockEntry, ...]  # those that can be believed
    dictionaries: Placed
    problem: str | None


def read_archive_head(file: File) -> ArchiveContents:
    """Return what is before the blocks of an archive file; FormatError or FormatTooNew for a bad header."""
    header = decode_archive_header(file.read_at(0, ARCHIVE_HEADER.size), file.size())
    data = file.read_at(ARCHIVE_HEADER.size, header.directory_end - ARCHIVE_HEADER.size)
    directory = data[header.schema_bytes :]
    try:
        schema, problem = schema_from_json(data[: header.schema_bytes]), None
    except (SchemaError, FormatTooNew) as error:
        schema, problem = None, str(error)
    rows = directory[header.blocks * BLOCK_ENTRY.size :]
    try:
        check_directory(header, data)
        entries = tuple(decode_entries(header, directory))
        return ArchiveContents(header, schema, entries, decode_dictionaries(header, rows), problem)
    except FormatError as error:
        placed = _dictionaries(file, header, rows)
        entries = _believable(header, directory, placed)
        return ArchiveContents(header, schema, entries, placed, problem or str(error))


def _dictionaries(file: File, header: ArchiveHeader, rows: bytes) -> Placed:
    """The dictionaries of a damaged directory: by its entries, or by those at the end of the file, whichever
    find more. An entry holds the hash of itself and its bytes, so none can bring in other ids.
    """
    best: Placed = []
    most = 0
    for data in (rows, file.read_at(header.file_bytes - len(rows), len(rows))):
        with contextlib.suppress(FormatError):
            placed = decode_dictionaries(header, data)
            if (good := len(read_dictionaries(file, placed))) > most:
                best, most = placed, good
    return best


def _believable(header: ArchiveHeader, directory: bytes, placed: Placed) -> tuple[BlockEntry, ...]:
    """The rows of a damaged directory that follow each other from its beginning, or back from its end.

    Each holds the hash of its block, so a row that was changed cannot bring in other events.
    """
    words = stored_bytes([entry for entry, _ in placed])
    blocks, _ = cut_directory(header, directory)
    rows = [BlockEntry(*row[:4], *row[5:]) for row in BLOCK_ENTRY.iter_unpack(blocks)]
    seq, offset, ahead = header.base_seq, header.directory_end + words, 0
    for row in rows:
        if (row.first_seq, row.offset) != (seq, offset):
            break
        seq, offset, ahead = row.last_seq + 1, row.offset + row.stored_bytes, ahead + 1
    last, end, behind = header.last_seq, header.file_bytes - words, len(rows)
    for row in reversed(rows[ahead:]):
        if (row.last_seq, row.offset + row.stored_bytes) != (last, end):
            break
        last, end, behind = row.first_seq - 1, row.offset, behind - 1
    return (*rows[:ahead], *rows[behind:])


def read_blocks(
    file: File, found: ArchiveContents, shared: Shared | None = None
) -> Iterator[tuple[BlockEntry, bytes, EventBatch | str]]:
    """Yield each block: its entry, its bytes, and its events, or what is wrong with it.

    ``shared``: the dictionaries, for who has read them already.
    """
    if shared is None:
        shared = read_dictionaries(file, found.dictionaries)
    for entry in found.entries:
        stored = file.read_at(entry.offset, entry.stored_bytes)
        try:
            yield entry, stored, decode_block(entry, stored, shared)
        except FormatError as error:
            yield entry, stored, str(error)


def check_archive_file(
    fs: FileSystem, path: Path, store_id: bytes | None, book: Notebook, advance: Advance
) -> ArchiveHeader | None:
    """Note all that is wrong with an archive file; return its header, unless that is damaged too."""
    try:
        file = fs.open_read(path)
        try:
            size = file.size()
            found = read_archive_head(file)
            header = found.header
            book.looked(path, "archive", size, header.events)
            if found.problem is not None:
                book.damage("archive-damaged", path, found.problem, offset=ARCHIVE_HEADER.size)
            _check_blocks(file, found, book)
        finally:
            file.close()
    except (FormatError, FormatTooNew, CorruptionError, StorageError) as error:
        if fs.exists(path):  # else a writer at work retired it
            book.failed(path, error, "archive-damaged")
        return None
    advance(size)
    if store_id is not None and header.log.store_id != store_id:
        book.damage("archive-misfit", path, f"it is of the store {header.log.store_id.hex()}", offset=0)
    return header


def _check_blocks(file: File, found: ArchiveContents, book: Notebook) -> None:
    header, path = found.header, file.path
    stored_hash, plain_hash, events = blake3(), PlainHash(), 0
    before = len(book.findings)
    shared: dict[int, U64] = {}
    behind = _check_copies(file, found, 1, book, shared)
    stored_hash.update(_check_copies(file, found, 0, book, shared))
    for entry, stored, events_or_reason in read_blocks(file, found, shared):
        stored_hash.update(stored)
        if isinstance(events_or_reason, str):
            seqs = (entry.first_seq, entry.last_seq)
            book.damage("archive-damaged", path, events_or_reason, offset=entry.offset, seqs=seqs)
        else:
            plain_hash.add(events_or_reason)
            events += entry.events
    rows = file.read_at(header.file_bytes - header.rows_bytes, header.rows_bytes)
    if rows != b"".join(entry.encode() for entry, _ in found.dictionaries):
        offset = header.file_bytes - header.rows_bytes
        book.damage("archive-damaged", path, ENTRIES_DIFFER, offset=offset)
    stored_hash.update(behind + rows)
    if events == header.events and len(book.findings) == before:
        if stored_hash.digest() != header.stored_hash:
            book.damage("archive-damaged", path, "the blocks do not match the hash of them all")
        if plain_hash.digest() != header.plain_hash:
            book.damage("archive-damaged", path, "the events do not match the hash of them all")


def _check_copies(
    file: File, found: ArchiveContents, number: int, book: Notebook, shared: dict[int, U64]
) -> bytes:
    """Note what is wrong with the first (0) or second (1) copies; return their bytes. What is good comes into
    ``shared``.
    """
    parts = []
    for tag, place, stored, ids in read_copies(file, found.dictionaries, number):
        if isinstance(ids, str):
            book.damage("archive-damaged", file.path, f"{ids}; it has two copies", offset=place)
        else:
            shared[tag] = ids
        parts.append(stored)
    return b"".join(parts)


@record
class ArchiveFacts:
    """What an archive holds, for what is held against it."""

    manifest: ArchiveManifest | None = None
    headers: tuple[ArchiveHeader, ...] = ()  # of the files whose header is good, by sequence
    unlisted: tuple[tuple[Path, ArchiveHeader], ...] = ()

    def segments_of(self, header: ArchiveHeader) -> list[tuple[int, SegmentEnd]]:
        """Return the segments of a file as the manifest has them: where each begins, and its end."""
        file = self.manifest.file_of(header.base_seq) if self.manifest else None
        if file is not None and file.header_hash == header_hash(header):
            return list(file.ends)
        return [(header.base_seq, SegmentEnd(header.last_seq, header.final_hash))]


def check_archive(
    fs: FileSystem, directory: Path, store_id: bytes | None, book: Notebook, advance: Advance
) -> ArchiveFacts:
    """Note all that is wrong with the archive in a folder; return what it holds."""
    manifest = _check_manifest(fs, directory / ARCHIVE_MANIFEST_NAME, store_id, book)
    owner = store_id or (manifest.store_id if manifest else None)
    found: dict[int, tuple[Path, ArchiveHeader]] = {}
    for name in fs.list_dir(directory):
        path = directory / name
        if parse_archive_name(name) is not None:
            header = check_archive_file(fs, path, owner, book, advance)
            if header is not None and name != archive_name(header.log, header.base_seq):
                what = f"its header says that it begins at event {header.base_seq}; its name does not"
                book.damage("archive-misfit", path, what, offset=0)
            elif header is not None:
                found[header.base_seq] = (path, header)
        elif name.endswith(TEMPORARY_SUFFIX):
            book.note("leftover", path, "an unfinished archive that a crash left, or a writer at work")
        elif name == MARKS_NAME:
            check_marks(fs, path, owner, book)
        elif name != ARCHIVE_MANIFEST_NAME:
            book.note("not-ours", path, "not a file of the archive")
    listed: set[int] = set()
    if manifest is not None:
        listed = {file.base_seq for file in manifest.files}
        for file in manifest.files:
            _check_file_listed(fs, directory, manifest, file, found, book)
    headers = tuple(found[base_seq][1] for base_seq in sorted(found))
    _check_links(headers, {header.base_seq: path for path, header in found.values()}, book)
    unlisted = tuple(pair for base_seq, pair in sorted(found.items()) if base_seq not in listed)
    return ArchiveFacts(manifest, headers, unlisted)


def check_marks(fs: FileSystem, path: Path, store_id: bytes | None, book: Notebook) -> None:
    """Note what is wrong with the marks that hold the log back; of no known store, only their form."""
    try:
        data = read_file(fs, path)
        book.looked(path, "archive", len(data))
        body = decode_document(
            data, version=MARKS_FORMAT, fields=("store_id", "marks"), bytes_max=MARKS_BYTES_MAX
        )
        owner = store_id or bytes_of(body, "store_id", STORE_ID_BYTES)
        Marks(fs, path.parent, owner).all()
    except (FormatError, FormatTooNew, CorruptionError, StorageError) as error:
        book.failed(path, error, "marks-damaged")


def _check_manifest(
    fs: FileSystem, path: Path, store_id: bytes | None, book: Notebook
) -> ArchiveManifest | None:
    manifest = read_document(
        fs, path, decode_archive_manifest, book, part="archive", damaged="archive-damaged"
    )
    if manifest is not None and store_id is not None and manifest.store_id != store_id:
        book.damage("archive-misfit", path, f"it is of the store {manifest.store_id.hex()}")
        return None
    return manifest


def _check_file_listed(
    fs: FileSystem,
    directory: Path,
    manifest: ArchiveManifest,
    file: ArchivedFile,
    found: dict[int, tuple[Path, ArchiveHeader]],
    book: Notebook,
) -> None:
    if file.base_seq in found:
        path, header = found[file.base_seq]
        if header_hash(header) != file.header_hash:
            book.damage("archive-misfit", path, "it is not the file that the archive's manifest lists")
        return
    path = archive_path(directory, manifest, file)
    if not fs.exists(path):
        what = "the archive's manifest lists a file that is not there"
        book.damage("archive-missing", path, what, seqs=(file.base_seq, file.last_seq))


def _check_links(headers: tuple[ArchiveHeader, ...], paths: dict[int, Path], book: Notebook) -> None:
    for before, header in itertools.pairwise(headers):
        follows = header.base_seq == before.last_seq + 1
        if header.base_seq <= before.last_seq or (follows and header.previous != before.final_hash):
            what = f"it does not continue {paths[before.base_seq].name}: one of them was replaced"
            book.damage("archive-misfit", paths[header.base_seq], what, offset=0)
