"""What is good in a store that cannot be opened: every run of events that can be proven, wherever it lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, StorageError
from tidal.format.archive import ARCHIVE_HEADER, decode_archive_header, parse_archive_name
from tidal.format.archive_manifest import ARCHIVE_MANIFEST_NAME, decode_archive_manifest
from tidal.format.frame import Frame
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.payload import decode_payload
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, decode_segment_header, parse_segment_name
from tidal.format.snapshot import HEADER_BYTES, DamagedSnapshot, decode_header, parse_checkpoint_name
from tidal.inspect.archives import check_archive_file, read_archive_head, read_blocks
from tidal.inspect.documents import check_identity, check_schema
from tidal.inspect.findings import Finding, Notebook, Severity
from tidal.inspect.log import check_manifest, guess_logs
from tidal.inspect.segments import Around, check_contents, read_contents
from tidal.schema import EventBatch, Schema
from tidal.store import StorePaths

_UNREADABLE = (FormatError, FormatTooNew, DamagedSnapshot, CorruptionError, StorageError)


class Run(NamedTuple):
    """Events without a gap, all in one file, each proven by a hash."""

    first_seq: int
    last_seq: int
    epoch: int
    path: Path


@dataclass(slots=True)
class Remains:
    """What is left of a store."""

    store_id: bytes
    schema: Schema | None
    runs: list[Run] = field(default_factory=list)
    first_seq: int = 1  # where the history began that retention had left
    last_seq: int = 0  # the last event that anything tells of
    findings: list[Finding] = field(default_factory=list)  # what was passed by, and why

    @property
    def place(self) -> tuple[int, int]:
        """Region and shard, as the first run's file is named; 0 and 0 without one."""
        return _place_of(min(self.runs, key=lambda run: run.first_seq).path) if self.runs else (0, 0)

    def in_order(self) -> list[Run]:
        """Return the runs by their first events; of equal ones the one that was written last comes first."""
        return sorted(self.runs, key=lambda run: (run.first_seq, -run.epoch, -run.last_seq, run.path))


def find_remains(fs: FileSystem, paths: StorePaths, progress: Callable[[float], None]) -> Remains | None:
    """Return all that is good in the log and the archive of a store; None if not even its id is known.

    Also of a folder of archives alone. ``progress`` is called with the share of the bytes that was looked at.
    """
    book = Notebook(paths.base)
    segments = _named(fs, paths.wal, lambda name: parse_segment_name(name) is not None)
    archives = [path for folder in (paths.base, paths.archive) for path in _named(fs, folder, _is_archive)]
    alone = bool(_named(fs, paths.base, _is_archive))
    store_id = (None if alone else check_identity(fs, paths.identity, book)) or _owner(fs, segments, archives)
    if store_id is None:
        return None
    remains = Remains(store_id, None if alone else check_schema(fs, paths.schema, book))
    total, done = sum(fs.size(path) for path in (*segments, *archives)), 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        progress(min(1.0, done / total))

    for path in archives:
        _take_archive(fs, path, remains, book, advance)
    _take_log(fs, paths, segments, remains, book, advance)
    _note_bounds(fs, paths, remains)
    remains.first_seq = min([remains.first_seq, *(run.first_seq for run in remains.runs)])
    remains.findings += [finding for finding in book.findings if finding.severity is not Severity.NOTE]
    return remains


def _place_of(path: Path) -> tuple[int, int]:
    region, shard, _ = parse_segment_name(path.name) or parse_archive_name(path.name) or (0, 0, 0)
    return region, shard


def read_run(fs: FileSystem, run: Run, store_id: bytes) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) of a run, in order; each batch was checked again."""
    if _is_archive(run.path.name):
        file = fs.open_read(run.path)
        try:
            for entry, _, batch in read_blocks(file, read_archive_head(file)):
                if isinstance(batch, EventBatch) and run.first_seq <= entry.first_seq <= run.last_seq:
                    yield entry.first_seq, batch
        finally:
            file.close()
        return
    found = read_contents(fs, run.path, [LogIdentity(store_id, run.epoch, *_place_of(run.path))])
    for frame in found.frames:
        if run.first_seq <= frame.first_seq <= run.last_seq:
            yield frame.first_seq, decode_payload(found.data[frame.payload], frame.events)


def _take_log(
    fs: FileSystem,
    paths: StorePaths,
    segments: list[Path],
    remains: Remains,
    book: Notebook,
    advance: Callable[[int], None],
) -> None:
    manifest = check_manifest(fs, paths.wal / MANIFEST_NAME, remains.store_id, book) if segments else None
    if manifest is not None:
        remains.first_seq, remains.last_seq = manifest.start_seq, manifest.last_seq
    bases = [(parse_segment_name(path.name) or (0, 0, 0))[2] for path in segments]
    for path, following in zip_longest(segments, bases[1:]):
        try:
            found = read_contents(fs, path, guess_logs(remains.store_id, manifest))
        except _UNREADABLE as error:
            book.failed(path, error, "header-damaged")
            continue
        if found.header is not None and found.header.log.store_id != remains.store_id:
            book.damage("segment-foreign", path, f"it is of the store {found.header.log.store_id.hex()}")
            continue
        check_contents(found, Around(following, manifest is not None and manifest.clean), book)
        remains.last_seq = max(remains.last_seq, found.last_seq)
        if found.header is not None:
            good = [frame for frame in found.frames if _decodes(found.data, frame)]
            spans = [(frame.first_seq, frame.last_seq) for frame in good]
            remains.runs += _runs(spans, found.header.log.epoch, path)
        advance(len(found.data))


def _decodes(data: memoryview, frame: Frame) -> bool:
    try:
        decode_payload(data[frame.payload], frame.events)
    except FormatError:
        return False
    return True


def _take_archive(
    fs: FileSystem, path: Path, remains: Remains, book: Notebook, advance: Callable[[int], None]
) -> None:
    header = check_archive_file(fs, path, remains.store_id, book, advance)
    if header is None or header.log.store_id != remains.store_id:
        return
    remains.last_seq = max(remains.last_seq, header.last_seq)
    file = fs.open_read(path)
    try:
        head = read_archive_head(file)
        spans = [
            (entry.first_seq, entry.last_seq)
            for entry, _, batch in read_blocks(file, head)
            if isinstance(batch, EventBatch)
        ]
    finally:
        file.close()
    remains.runs += _runs(spans, header.log.epoch, path)
    if head.schema is not None and len(head.schema) > len(remains.schema or ()):
        remains.schema = head.schema


def _runs(spans: Iterable[tuple[int, int]], epoch: int, path: Path) -> list[Run]:
    """Join what follows each other."""
    runs: list[Run] = []
    for first, last in spans:
        if runs and runs[-1].last_seq + 1 == first:
            runs[-1] = runs[-1]._replace(last_seq=last)
        else:
            runs.append(Run(first, last, epoch, path))
    return runs


def _note_bounds(fs: FileSystem, paths: StorePaths, remains: Remains) -> None:
    """Find out where the history began and ended, from what else can be read."""
    try:
        manifest = decode_archive_manifest(read_file(fs, paths.archive / ARCHIVE_MANIFEST_NAME))
        remains.first_seq = manifest.start_seq
        remains.last_seq = max(remains.last_seq, manifest.last_seq)
    except _UNREADABLE:
        pass
    for path in _named(fs, paths.checkpoints, lambda name: parse_checkpoint_name(name) is not None):
        try:
            file = fs.open_read(path)
            try:
                header = decode_header(file.read_at(0, HEADER_BYTES), file.size())
            finally:
                file.close()
        except _UNREADABLE:
            continue
        if header.store_id == remains.store_id:
            remains.last_seq = max(remains.last_seq, header.seq)


def _owner(fs: FileSystem, segments: list[Path], archives: list[Path]) -> bytes | None:
    """Return the store id that most files name."""
    votes: Counter[bytes] = Counter()
    for path in (*segments, *archives):
        try:
            file = fs.open_read(path)
            try:
                if _is_archive(path.name):
                    header = decode_archive_header(file.read_at(0, ARCHIVE_HEADER.size), file.size())
                    votes[header.log.store_id] += 1
                else:
                    head = memoryview(file.read_at(0, SEGMENT_HEADER.size))
                    votes[decode_segment_header(head)[0].log.store_id] += 1
            finally:
                file.close()
        except _UNREADABLE:
            continue
    return votes.most_common(1)[0][0] if votes else None


def _named(fs: FileSystem, folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    return [folder / name for name in fs.list_dir(folder) if wanted(name)]


def _is_archive(name: str) -> bool:
    return parse_archive_name(name) is not None
