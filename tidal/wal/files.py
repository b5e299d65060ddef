"""The files in a log's folder: which are its segments, and which are only lying there."""

from __future__ import annotations

from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import CorruptLog, FormatError, FormatTooNew
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, decode_segment_header, parse_segment_name
from tidal.records import record
from tidal.wal.segments import check_ends, check_header, list_segments, read_segment


@record
class LogFiles:
    """The files of a log's folder, sorted out. Nothing but ``leftovers`` may ever be removed."""

    segments: dict[int, Path]  # by base sequence, ascending
    leftovers: tuple[Path, ...]  # segments that were given up; a crash came before their removal
    copies: tuple[Path, ...]  # identical to a segment, under a name that another may need
    notes: tuple[str, ...]  # on files that are passed over, for people


def sort_out(fs: FileSystem, directory: Path, identity: LogIdentity, start_seq: int = 1) -> LogFiles:
    """Return what the folder of a log holds that begins at ``start_seq``; only headers and ends are read.

    Raises CorruptLog for a segment of another store, or under another's name with other content.
    """
    segments: dict[int, Path] = {}
    leftovers: list[Path] = []
    copies: list[Path] = []
    notes: list[str] = []
    for base_seq, path in list_segments(fs, directory, identity.region, identity.shard):
        if (original := _copied_from(fs, path, identity)) is not None:
            copies.append(path)
            notes.append(f"{path.name} is a copy of {original.name}, and was ignored")
        elif base_seq >= start_seq:
            segments[base_seq] = path
        elif _ends_below(fs, path, identity, start_seq):
            leftovers.append(path)
        else:
            notes.append(f"{path.name} lies before the log's start at {start_seq}, and was ignored")
    strange = [name for name in fs.list_dir(directory) if not _is_known(name, identity)]
    if strange:
        notes.append(f"{directory} holds what is not of the log, and was ignored: {', '.join(strange)}")
    return LogFiles(segments, tuple(leftovers), tuple(copies), tuple(notes))


def is_misnamed(fs: FileSystem, path: Path) -> bool:
    """Return whether a file has a good header of a segment that must be called otherwise."""
    file = fs.open_read(path)
    try:
        header, _ = decode_segment_header(memoryview(file.read_at(0, SEGMENT_HEADER.size)))
    except (FormatError, FormatTooNew):
        return False
    finally:
        file.close()
    return header.name != path.name


def _is_known(name: str, identity: LogIdentity) -> bool:
    plain = name.removesuffix(".tmp")
    place = parse_segment_name(plain)
    return plain == MANIFEST_NAME or (place is not None and place[:2] == (identity.region, identity.shard))


def _copied_from(fs: FileSystem, path: Path, identity: LogIdentity) -> Path | None:
    """Return the segment that this file is an identical copy of, by the name in its header."""
    file = fs.open_read(path)
    try:
        head = memoryview(file.read_at(0, SEGMENT_HEADER.size))
    finally:
        file.close()
    try:
        check_header(path, head, identity)
    except FormatError:
        pass  # whether that is damage or an unfinished file is decided by the scan
    except CorruptLog:
        original = path.with_name(decode_segment_header(head)[0].name)
        if original != path and fs.exists(original) and read_segment(fs, path) == read_segment(fs, original):
            return original
        raise
    return None


def _ends_below(fs: FileSystem, path: Path, identity: LogIdentity, start_seq: int) -> bool:
    try:
        return check_ends(fs, path, identity).last_seq < start_seq
    except CorruptLog:
        return False
