"""Every hash, chain and sequence of a store checked; nothing is written, no lock is taken.

Works beside a writer. What a writer changes while it is looked at may seem damaged, so a part in which damage
was found is looked at again if its files are not the same any more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tidal.durable import TEMPORARY_SUFFIX, FileSystem
from tidal.format.archive import archive_name
from tidal.format.payload import TypeSet, type_set
from tidal.format.segment import segment_name
from tidal.inspect.archives import ArchiveFacts, check_archive
from tidal.inspect.checkpoints import GoodCheckpoint, check_checkpoints
from tidal.inspect.documents import check_identity, check_schema
from tidal.inspect.entities import check_entities
from tidal.inspect.files import check_file
from tidal.inspect.findings import FileLooked, Finding, Notebook, Report, Severity
from tidal.inspect.kinds import Kind, kind_of, names_in
from tidal.inspect.log import Known, LogFacts, check_log
from tidal.inspect.place import file_system_for
from tidal.inspect.sizes import size_of
from tidal.schema import Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.storage.sqlite import SIDE_FILES
from tidal.store import StorePaths

Progress = Callable[[int, float], None]  # bytes looked at, and which share of all that is

_LOOKS_MAX = 3
_T = TypeVar("_T")


def verify(
    path: Path | str, *, file_system: FileSystem | None = None, progress: Progress | None = None
) -> Report:
    """Return what is wrong with a store, a folder of archives, or one file of either.

    It never stops at what is wrong, changes no byte, takes no lock, and may run beside a writer. Findings say
    file, offset, the events that are affected, and what to do. Memory: the largest segment, and what a
    checkpoint's section takes.

    Raises StoreMissing for a path that is not there, UsageError for what is none of these, StorageError if
    not even that can be found out.

    >>> import tempfile, tidal
    >>> schema = tidal.SchemaBuilder().signal("view").build()
    >>> folder = tempfile.mkdtemp()
    >>> with tidal.open(folder, schema=schema) as db:
    ...     db.signal("view", 42)
    1
    >>> report = verify(folder)
    >>> report.damaged, report.first_seq, report.last_seq
    (False, 1, 1)
    """
    path = Path(path).resolve()  # links lead to a store, none are in it
    fs = file_system or file_system_for(path)
    kind = kind_of(fs, path)
    folder = kind in (Kind.STORE, Kind.ARCHIVE_FOLDER)
    look = _Look(fs, path if folder else path.parent, progress, _bytes_below(fs, path))
    if kind is Kind.STORE:
        return look.store(path)
    if kind is Kind.ARCHIVE_FOLDER:
        return look.archive(path)
    book = Notebook(path.parent)
    check_file(fs, path, kind, book, look.advance)
    return Report(str(path), "file", None, None, None, tuple(book.files), tuple(book.findings))


class _Look:
    """One look at a store: the parts in turn, and what each says of the others."""

    def __init__(self, fs: FileSystem, base: Path, progress: Progress | None, size: int) -> None:
        self._fs, self._base, self._progress, self._size = fs, base, progress, size
        self._done = 0
        self._files: list[FileLooked] = []
        self._findings: list[Finding] = []

    def advance(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, min(1.0, self._done / self._size) if self._size else 1.0)

    def archive(self, path: Path) -> Report:
        facts = self._part([path], lambda book: check_archive(self._fs, path, None, book, self.advance))
        headers = facts.headers
        return self._report(
            path,
            "archive",
            headers[0].log.store_id if headers else None,
            (headers[0].base_seq, headers[-1].last_seq) if headers else None,
        )

    def store(self, path: Path) -> Report:
        fs, paths = self._fs, StorePaths(path)
        store_id = self._part([], lambda book: check_identity(fs, paths.identity, book))
        schema = self._part([], lambda book: check_schema(fs, paths.schema, book))
        good = self._part(
            [paths.checkpoints],
            lambda book: check_checkpoints(fs, paths.checkpoints, store_id, book, self.advance),
        )
        archive, log = self._part(
            [paths.archive, paths.wal],
            lambda book: self._history(paths, store_id, _types(schema), good, book),
        )
        self._part([], lambda book: check_entities(fs, paths.entities, book))
        self._part([], lambda book: _note_others(fs, paths, book))
        known = [header.base_seq for header in archive.headers[:1]] + list(log.events or ())[:1]
        last = [header.last_seq for header in archive.headers[-1:]] + list(log.events or ())[1:]
        return self._report(path, "store", store_id, (min(known), max(last)) if known else None)

    def _history(
        self,
        paths: StorePaths,
        store_id: bytes | None,
        types: TypeSet | None,
        good: list[GoodCheckpoint],
        book: Notebook,
    ) -> tuple[ArchiveFacts, LogFacts]:
        archive = check_archive(self._fs, paths.archive, store_id, book, self.advance)
        covered = max([archive.manifest.last_seq if archive.manifest else 0, *(one.seq for one in good)])
        known = Known(store_id, types, covered, frozenset(one.seq for one in good))
        log = check_log(self._fs, paths.wal, known, book, self.advance)
        _check_agreement(paths, archive, log, good, book)
        return archive, log

    def _part(self, folders: list[Path], check: Callable[[Notebook], _T]) -> _T:
        """Run the check of one part; again if it found damage in files that were changing meanwhile."""
        for look in range(_LOOKS_MAX):
            before = [_signature(self._fs, folder) for folder in folders]
            book = Notebook(self._base)
            done = self._done
            facts = check(book)
            changed = before != [_signature(self._fs, folder) for folder in folders]
            if not book.damaged or not changed or look == _LOOKS_MAX - 1:
                break
            self._done = done
        self._files += book.files
        self._findings += book.findings
        return facts

    def _report(
        self, path: Path, kind: str, store_id: bytes | None, events: tuple[int, int] | None
    ) -> Report:
        order = list(Severity)
        findings = sorted(self._findings, key=lambda finding: order.index(finding.severity))
        first, last = events or (None, None)
        id_hex = store_id.hex() if store_id else None
        return Report(str(path), kind, id_hex, first, last, tuple(self._files), tuple(findings))


def _types(schema: Schema | None) -> TypeSet | None:
    return type_set({NOTE_TYPE_ID, *(signal.type_id for signal in schema)}) if schema else None


def _check_agreement(
    paths: StorePaths, archive: ArchiveFacts, log: LogFacts, good: list[GoodCheckpoint], book: Notebook
) -> None:
    """Hold archive, log and checkpoints against each other."""
    last = log.events[1] if log.events else 0
    for seq, log_hash, path in ((one.seq, one.log_hash, one.path) for one in good):
        if log.hashes.get(seq, log_hash) != log_hash:
            what = f"it is of another history than the log: their hashes after event {seq} differ"
            book.damage("checkpoint-foreign", path, what)
        elif seq > last and log.events:
            what = f"it is of event {seq}, but the log ends at {last}: its end is gone"
            book.damage("checkpoint-ahead", path, what, seqs=(last + 1, seq))
    # What the manifest does not list is never read: in a copy it may be newer than the end of the log there.
    unlisted = {header.base_seq for _, header in archive.unlisted}
    for header in archive.headers:
        if header.base_seq in unlisted:
            continue
        for base_seq, end in archive.segments_of(header):
            if log.heads.get(base_seq, end) != end:
                what = f"the log holds other events from {base_seq} on than the archive"
                book.damage("archive-misfit", paths.archive, what, seqs=(base_seq, end.last_seq))
            elif book.is_good(paths.archive / archive_name(header.log, header.base_seq)):
                book.recode(paths.wal / segment_name(header.log, base_seq), "segment-archived")
    for path, header in archive.unlisted:
        if log.events and header.base_seq >= log.events[0]:
            book.note("leftover", path, "not in the archive's manifest: it was being written")
        else:
            what = "the archive's manifest does not list it, and the log does not hold its events"
            book.damage("archive-misfit", path, what, seqs=(header.base_seq, header.last_seq))
    if log.manifest is not None:
        _check_seam(paths, archive, log, good, book)


def _check_seam(
    paths: StorePaths, archive: ArchiveFacts, log: LogFacts, good: list[GoodCheckpoint], book: Notebook
) -> None:
    """Check what is before the log's start: it is archived, and a checkpoint or the archive leads to it."""
    assert log.manifest is not None
    start, held = log.manifest.start_seq, archive.manifest
    if start == 1:
        return
    archived = held.last_seq if held else 0
    if archived < start - 1:
        what = f"the log begins at event {start}, the archive ends at {archived}"
        book.damage("archive-missing", paths.archive, what, seqs=(archived + 1, start - 1))
    elif held is not None and archived == start - 1 and held.head_hash != log.manifest.start_hash:
        what = f"the log does not continue the archive at event {start}: one of them was replaced"
        book.damage("archive-misfit", paths.archive, what)
    whole = held is not None and held.start_seq == 1 and archived >= start - 1
    if not whole and not any(one.seq >= start - 1 for one in good):
        what = f"no checkpoint is good, and the history begins at event {held.start_seq if held else start}"
        book.damage("state-lost", paths.checkpoints, what)


def _note_others(fs: FileSystem, paths: StorePaths, book: Notebook) -> None:
    """Note what lies in the store's folder beside what was looked at."""
    for name in fs.list_dir(paths.quarantine):
        book.note("quarantined", paths.quarantine / name, "damaged bytes that an open put aside")
    for folder in (paths.cache, paths.exports, paths.items, paths.users, paths.creators):
        if fs.list_dir(folder):
            book.note("unexamined", folder, "what is in this folder is not checked")
    ours = {path.name for path in (*paths.folders, paths.quarantine, paths.lock)}
    files = (paths.entities, paths.identity, paths.schema, paths.origin, paths.following, paths.promoted)
    ours |= {path.name for path in files}
    ours |= {paths.entities.name + suffix for suffix in SIDE_FILES}
    for name in fs.list_dir(paths.base):
        path = paths.base / name
        if name.endswith(TEMPORARY_SUFFIX):
            book.note("leftover", path, "an unfinished file that a crash left, or a writer at work")
        elif name not in ours:
            book.note("not-ours", path, "not a file of a store")


def _signature(fs: FileSystem, folder: Path) -> list[tuple[str, int]]:
    """Names and sizes: what a writer at work changes."""
    return [(name, size_of(fs, folder / name)) for name in fs.list_dir(folder)]


def _bytes_below(fs: FileSystem, path: Path) -> int:
    """Return the bytes of all files of a store; of a folder or file what is in it."""
    names = names_in(fs, path)
    if names is None:
        return size_of(fs, path)
    paths = StorePaths(path)
    folders = (path, paths.wal, paths.archive, paths.checkpoints)
    return sum(size_of(fs, folder / name) for folder in folders for name in fs.list_dir(folder))
