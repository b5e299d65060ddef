"""From what people name as a source (a store, an archive, files, a URL) to the pieces that it has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tidal.archive import ArchiveFile, ArchiveManifest, read_archive_manifest
from tidal.durable import FileSystem
from tidal.errors import (
    CorruptArchive,
    CorruptionError,
    CorruptLog,
    InvalidOption,
    MissingSegment,
    SchemaError,
    StoreMissing,
)
from tidal.format.archive import parse_archive_name
from tidal.format.archive_manifest import ARCHIVE_MANIFEST_NAME, ArchivedFile
from tidal.format.segment import LogIdentity, parse_segment_name
from tidal.history import archive_path
from tidal.opening.arguments import advice_on_damage
from tidal.opening.beside import look_again
from tidal.opening.extent import look_at_history
from tidal.records import record
from tidal.replay.place import Place, place_of
from tidal.replay.source import LeftOut, Piece, Source
from tidal.schema import Schema
from tidal.store import StorePaths, load_store, store_exists
from tidal.wal.segments import SegmentInfo, check_ends

_PARTIAL: Final = "partial=True (--partial) replays the events that are left"


@record
class Looking:
    """How a source is looked at."""

    schema: Schema | None  # for segments, which say nothing of their types
    partial: bool  # take a history whose beginning is gone
    skip: bool  # leave out what is damaged or missing


@record
class _Found:
    """A file by itself, and what it continues."""

    piece: Piece
    log: LogIdentity
    previous: bytes
    final_hash: bytes
    schema: Schema | None


def find_source(given: Any, how: Looking) -> Source:
    """Return the events of a store's folder, a folder of archive files, some files, or a URL of either.

    Raises InvalidOption for what is none of these and for files of several stores, StoreMissing,
    MissingSegment, CorruptLog, CorruptArchive, CorruptStore, FormatTooNew, StorageError, MissingExtra.
    """
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        if not given:
            raise InvalidOption("source=[]: name at least one file of an archive or a log")
        places = [place_of("source", it) for it in given]
        if any(not it.is_local for it in places):
            raise InvalidOption("source: a list names files of this machine; give the URL of their folder")
        return _source_of_files(f"{len(places)} files", Place(Path("/")), [it.folder for it in places], how)
    place = place_of("source", given)
    fs = place.open()
    if place.is_local and os.path.isfile(place.folder):
        return _source_of_files(place.folder.name, place, [place.folder], how)
    with advice_on_damage(place.folder):
        if store_exists(fs, StorePaths(place.folder)):
            return _source_of_store(fs, place, how)
        return look_again(
            fs, [place.folder / ARCHIVE_MANIFEST_NAME],
            lambda: _source_of_archive(fs, place, how), lambda found: not found.left_out,
        )  # fmt: skip


# ------------------------------------------------------------------------------------ a store


def _source_of_store(fs: FileSystem, place: Place, how: Looking) -> Source:
    paths = StorePaths(place.folder)
    identity = load_store(fs, paths).log
    extent = look_at_history(fs, paths, identity)
    extent.check_end(paths)
    archive = extent.archive
    pieces = [] if archive is None else [_piece_of_listed(paths.archive, archive, it) for it in archive.files]
    archived = pieces[-1].last_seq if pieces else 0
    pieces += [_piece_of_store(paths, it) for it in extent.segments if it.events and it.base_seq > archived]
    source = _checked(str(place), place, identity, extent.schema, extent.first_seq, pieces, how, [])
    return replace(source, entities=paths.entities) if place.is_local else source


def _piece_of_store(paths: StorePaths, info: SegmentInfo) -> Piece:
    return Piece(
        "store", paths.base, info.path.name, info.base_seq, info.last_seq, info.size,
        info.min_time, info.max_time, info.types,
    )  # fmt: skip


def _piece_of_listed(folder: Path, manifest: ArchiveManifest, file: ArchivedFile) -> Piece:
    path = archive_path(folder, manifest, file)
    return Piece(
        "archive", path, path.name, file.base_seq, file.last_seq, file.size,
        file.min_time, file.max_time, file.types, file.header_hash,
    )  # fmt: skip


# ------------------------------------------------------------------------------------ an archive's folder


def _source_of_archive(fs: FileSystem, place: Place, how: Looking) -> Source:
    manifest = read_archive_manifest(fs, place.folder, None)
    names = fs.list_dir(place.folder)  # after the manifest: what that lists was there before it
    if manifest is None:
        files = [place.folder / it for it in names if parse_archive_name(it) or parse_segment_name(it)]
        if not files:
            raise StoreMissing(f"{place} is neither a store nor a folder of archive files or segments")
        return _source_of_files(str(place), place, files, how)
    identity = LogIdentity(manifest.store_id, 0, manifest.region, manifest.shard)
    pieces, lost = [], []
    for file in manifest.files:
        piece = _piece_of_listed(place.folder, manifest, file)
        if piece.name in names:
            pieces.append(piece)
        elif how.skip:
            lost.append(LeftOut(piece.name, piece.first_seq, piece.last_seq, "the file is not there"))
        else:
            raise MissingSegment(piece.first_seq, piece.last_seq, piece.path)
    schema = how.schema
    for piece in reversed(pieces):
        try:
            with ArchiveFile(fs, piece.path) as opened:
                schema = opened.schema
            break
        except CorruptArchive:
            if not how.skip:
                raise
    if schema is None:
        raise StoreMissing(f"{place} has no archive file that is good; there is nothing to replay")
    return _checked(str(place), place, identity, schema, manifest.start_seq, pieces, how, lost)


# ------------------------------------------------------------------------------------ files by themselves


def _source_of_files(name: str, place: Place, paths: Iterable[Path], how: Looking) -> Source:
    fs = place.open()
    found: list[_Found] = []
    lost: list[LeftOut] = []
    for path in paths:
        try:
            found.append(_look_at(fs, path))
        except CorruptionError as error:
            if not how.skip:
                raise
            base_seq = (parse_archive_name(path.name) or parse_segment_name(path.name) or (0, 0, 1))[2]
            lost.append(LeftOut(path.name, base_seq, base_seq, str(error)))
    if not found:
        raise StoreMissing(f"{name}: no file is good; there is nothing to replay")
    found = _in_a_row(found)
    schema = next((it.schema for it in reversed(found) if it.schema is not None), how.schema)
    if schema is None:
        raise SchemaError(f"{name}: segments of a log do not say what their types are; give schema=")
    first = found[0].piece.first_seq
    log = found[0].log
    starts = [it.piece.first_seq for it in found]
    lost = [_up_to_next(it, starts) for it in lost if it.first_seq >= first]
    identity = LogIdentity(log.store_id, 0, log.region, log.shard)
    pieces = [it.piece for it in found]
    if not how.skip:
        _check_chain(found)
    # Who names files has chosen where history begins.
    return _checked(name, place, identity, schema, first, pieces, how, lost, begins_anywhere=True)


def _look_at(fs: FileSystem, path: Path) -> _Found:
    if parse_segment_name(path.name) is not None:
        info = check_ends(fs, path, None)
        piece = Piece(
            "segment", path, path.name, info.base_seq, info.last_seq, info.size,
            info.min_time, info.max_time, info.types,
        )  # fmt: skip
        return _Found(piece, info.header.log, info.header.previous, info.link.final_hash, None)
    with ArchiveFile(fs, path) as file:
        header = file.header
        piece = Piece(
            "archive", path, path.name, header.base_seq, header.last_seq, header.file_bytes,
            header.min_time, header.max_time, header.types,
        )  # fmt: skip
        return _Found(piece, header.log, header.previous, header.final_hash, file.schema)


def _in_a_row(found: list[_Found]) -> list[_Found]:
    """Return the files in the order of their events; of an archive file and its segments the first."""
    first = found[0]
    for it in found:
        place, other = (it.log.region, it.log.shard), (first.log.region, first.log.shard)
        if (it.log.store_id, *place) != (first.log.store_id, *other):
            raise InvalidOption(
                f"{it.piece.path} is of store {it.log.store_id.hex()} (region {place[0]}, shard {place[1]}), "
                f"{first.piece.path} of store {first.log.store_id.hex()} (region {other[0]}, shard "
                f"{other[1]}); replay each store by itself, and add the results with merge()"
            )
    ordered = sorted(found, key=lambda it: (it.piece.first_seq, it.piece.kind))  # "archive" < "segment"
    kept: list[_Found] = []
    for it in ordered:
        if kept and _is_archived_in(it, kept[-1]):
            continue
        if kept and it.piece.first_seq <= kept[-1].piece.last_seq:
            raise InvalidOption(
                f"{it.piece.path} begins at event {it.piece.first_seq}, {kept[-1].piece.path} ends at "
                f"{kept[-1].piece.last_seq}: they have events in common; leave one of them out"
            )
        kept.append(it)
    return kept


def _is_archived_in(it: _Found, other: _Found) -> bool:
    """Return whether a file has the events that another one has, as far as both ends tell."""
    inner, outer = it.piece, other.piece
    within = outer.kind == "archive" and inner.last_seq <= outer.last_seq
    begins_alike = inner.first_seq > outer.first_seq or it.previous == other.previous
    ends_alike = inner.last_seq < outer.last_seq or it.final_hash == other.final_hash
    return within and begins_alike and ends_alike


def _up_to_next(lost: LeftOut, starts: list[int]) -> LeftOut:
    """Return a file that could not be read, which begins where its name says, with the end it must have."""
    following = [start for start in starts if start > lost.first_seq]
    return replace(lost, last_seq=min(following) - 1) if following else lost


def _check_chain(found: list[_Found]) -> None:
    for before, it in pairwise(found):
        if it.piece.first_seq == before.piece.last_seq + 1 and it.previous != before.final_hash:
            kind = CorruptArchive if it.piece.kind == "archive" else CorruptLog
            raise kind(
                it.piece.path, 0, f"it does not continue {before.piece.name}: one of them was replaced"
            )


def _checked(
    name: str,
    place: Place,
    identity: LogIdentity,
    schema: Schema,
    first_seq: int,
    pieces: list[Piece],
    how: Looking,
    lost: list[LeftOut],
    *,
    begins_anywhere: bool = False,
) -> Source:
    """Return the source, once it is known where each event between the first and the last is."""
    if first_seq > 1 and not (how.partial or begins_anywhere):
        error = MissingSegment(1, first_seq - 1, place.folder)
        error.add_note(_PARTIAL)
        raise error
    holes: list[LeftOut] = []
    position = first_seq - 1
    runs: list[Piece | LeftOut] = [*pieces, *lost]
    for it in sorted(runs, key=lambda it: it.first_seq):
        if it.first_seq > position + 1:
            if not how.skip:
                raise MissingSegment(position + 1, it.first_seq - 1, place.folder)
            holes.append(LeftOut("", position + 1, it.first_seq - 1, "in no file"))
        position = max(position, it.last_seq)
    left_out = tuple(sorted([*lost, *holes], key=lambda it: it.first_seq))
    return Source(name, place, identity, schema, tuple(pieces), first_seq, position, left_out)
