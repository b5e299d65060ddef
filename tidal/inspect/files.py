"""One file of a store checked by itself, by what it says of itself."""

from __future__ import annotations

from pathlib import Path

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, StorageError
from tidal.format.archive_manifest import decode_archive_manifest
from tidal.format.manifest import decode_manifest
from tidal.format.segment import parse_segment_name
from tidal.inspect.archives import check_archive_file, check_marks
from tidal.inspect.checkpoints import check_checkpoint
from tidal.inspect.documents import check_identity, check_schema
from tidal.inspect.entities import check_entities
from tidal.inspect.findings import Notebook
from tidal.inspect.kinds import Kind
from tidal.inspect.log import Advance
from tidal.inspect.segments import Around, check_contents, read_contents


def check_file(fs: FileSystem, path: Path, kind: Kind, book: Notebook, advance: Advance) -> None:
    """Note all that is wrong with one file; what only the rest of its store could tell is not known."""
    match kind:
        case Kind.SEGMENT:
            _check_segment(fs, path, book, advance)
        case Kind.CHECKPOINT:
            check_checkpoint(fs, path, None, book, advance)
        case Kind.ARCHIVE:
            check_archive_file(fs, path, None, book, advance)
        case Kind.MANIFEST:
            _check_manifest(fs, path, book)
        case Kind.MARKS:
            check_marks(fs, path, None, book)
        case Kind.IDENTITY:
            check_identity(fs, path, book)
        case Kind.SCHEMA:
            check_schema(fs, path, book)
        case Kind.ENTITIES:
            check_entities(fs, path, book)


def _check_segment(fs: FileSystem, path: Path, book: Notebook, advance: Advance) -> None:
    try:
        found = read_contents(fs, path)
    except (CorruptionError, FormatTooNew, StorageError) as error:
        book.failed(path, error, "header-damaged")
        return
    book.looked(path, "log", len(found.data), sum(frame.events for frame in found.frames))
    parsed = parse_segment_name(path.name)
    if found.header is not None and parsed is not None and found.header.base_seq != parsed[2]:
        what = f"its header says that it begins at event {found.header.base_seq}; its name does not"
        book.damage("segment-foreign", path, what, offset=0)
    check_contents(found, Around(None), book)
    advance(len(found.data))


def _check_manifest(fs: FileSystem, path: Path, book: Notebook) -> None:
    try:
        data = read_file(fs, path)
        book.looked(path, "manifest", len(data))
        try:
            decode_manifest(data)
        except FormatError as error:
            try:
                decode_archive_manifest(data)
            except FormatError:
                raise error from None
    except (FormatError, FormatTooNew, CorruptionError, StorageError) as error:
        book.failed(path, error, "manifest-damaged")
