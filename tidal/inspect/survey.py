"""A whole store at a glance: what each part holds, how large it is, and what is missing or cannot be read.

Nothing is written and no lock is taken. Every part that cannot be read becomes a finding. Beside a writer a
part in which damage was found is looked at again if its files changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from tidal.archive.marks import MARKS_NAME, Marks
from tidal.durable import TEMPORARY_SUFFIX, FileSystem
from tidal.errors import CorruptionError, FormatTooNew, StorageError, StoreMissing, UsageError
from tidal.inspect.documents import check_identity, check_schema
from tidal.inspect.events import Time
from tidal.inspect.findings import Finding, Notebook, Severity
from tidal.inspect.inventory import ArchiveInventory, LogInventory, take_archive, take_log
from tidal.inspect.job_files import JobsInventory, take_jobs
from tidal.inspect.kinds import Kind, kind_of, names_in
from tidal.inspect.place import Place, file_system_for, look_at_place
from tidal.inspect.sizes import bytes_in, names_in_folder, size_of
from tidal.inspect.states import CheckpointInventory, take_checkpoints
from tidal.records import record
from tidal.schema import Schema
from tidal.store import JOBS_FOLDER, StorePaths

# What opening takes of a processor, measured on one machine (docs/performance.md names it): a checkpoint is
# read, hashed and loaded; then each batch after it is read, hashed and decoded, and each event applied.
SECONDS_PER_BYTE: Final = 1 / 120e6
SECONDS_PER_BATCH: Final = 120e-6
SECONDS_PER_EVENT: Final = 1 / 14e6

_LOOKS_MAX: Final = 3
_T = TypeVar("_T")


@record
class Reopening:
    """What opening the store would have to do, and about how long that takes on a machine of today."""

    checkpoint_seq: int  # 0: there is no checkpoint
    checkpoint_bytes: int
    replay_events: int
    replay_batches: int
    estimated_seconds: float


@record
class Survey:
    """A store at one moment, as far as its files could be read."""

    path: Path
    exists: bool
    is_store: bool  # the folder has at least a part of a store
    store_id: bytes | None
    schema: Schema | None
    log: LogInventory
    archive: ArchiveInventory
    checkpoints: tuple[CheckpointInventory, ...]  # newest first
    marks: Mapping[str, int]  # follower -> the last sequence that it has
    jobs: JobsInventory
    disk: Mapping[str, int]  # bytes by part
    quarantined: tuple[str, ...]
    place: Place
    findings: tuple[Finding, ...]

    @property
    def last_seq(self) -> int:
        """The last event that anything tells of; 0 for none."""
        return max([self.log.last_seq, self.archive.last_seq, *(one.seq for one in self.checkpoints)])

    @property
    def first_seq(self) -> int:
        """The first event of the history that is kept; 0 for none."""
        return self.archive.first_seq or self.log.first_seq

    @property
    def newest_time(self) -> Time | None:
        """The time of the newest event."""
        times = [self.log.newest_time, self.archive.newest_time]
        times += [state.newest_time for one in self.checkpoints[:1] for state in one.signals.values()]
        return max((time for time in times if time is not None), default=None)

    @property
    def reopening(self) -> Reopening:
        """What the next open has to do."""
        newest = self.checkpoints[0] if self.checkpoints else None
        seq, size = (newest.seq, newest.bytes) if newest else (0, 0)
        events, batches = max(0, self.last_seq - seq), self.log.batches_to_replay
        seconds = size * SECONDS_PER_BYTE + batches * SECONDS_PER_BATCH + events * SECONDS_PER_EVENT
        return Reopening(seq, size, events, batches, round(seconds, 6))


def survey(path: Path | str, *, file_system: FileSystem | None = None, place: Place | None = None) -> Survey:
    """Return what a store holds. A folder that is empty, or not there, is a survey of nothing.

    ``place``: what the machine says of the folder, if that is not to be asked. Raises UsageError for a path
    that is a file, StorageError if not even the folder can be looked at.

    >>> import tempfile, tidal
    >>> schema = tidal.SchemaBuilder().signal("view").build()
    >>> folder = tempfile.mkdtemp()
    >>> with tidal.open(folder, schema=schema) as db:
    ...     db.signal("view", 42)
    1
    >>> found = survey(folder)
    >>> found.last_seq, found.log.segments, found.findings
    (1, 1, ())
    """
    path = Path(path).resolve()
    fs = file_system or file_system_for(path)
    paths = StorePaths(path)
    exists = fs.exists(path)
    if exists and names_in(fs, path) is None:
        raise UsageError(f"{path} is not a folder; name the folder of a store")
    return _Look(fs, paths, exists).survey(place)


def survey_store(path: Path | str, *, file_system: FileSystem | None = None) -> Survey:
    """Return what a store holds, as survey() does; StoreMissing or UsageError for what is no store at all."""
    path = Path(path).resolve()
    fs = file_system or file_system_for(path)
    if (kind := kind_of(fs, path)) is not Kind.STORE:
        raise UsageError(f"{path} is a {kind.value}; name the folder of a store")
    found = survey(path, file_system=fs)
    if not found.exists:  # removed since
        raise StoreMissing(f"{path}: there is no such file or folder")
    return found


class _Look:
    """One look at a store, part by part."""

    def __init__(self, fs: FileSystem, paths: StorePaths, exists: bool) -> None:
        self._fs, self._paths, self._exists = fs, paths, exists
        self._findings: list[Finding] = []

    def survey(self, place: Place | None) -> Survey:
        fs, paths = self._fs, self._paths
        is_store = self._exists and self._has_parts()
        store_id = schema = None
        if is_store:
            store_id = self._part(None, paths.base, lambda book: check_identity(fs, paths.identity, book))
            schema = self._part(None, paths.base, lambda book: check_schema(fs, paths.schema, book))
        checkpoints: list[CheckpointInventory] = self._part(
            [], paths.checkpoints, lambda book: take_checkpoints(fs, paths.checkpoints, store_id, book)
        )
        archive = self._part(
            ArchiveInventory(), paths.archive, lambda book: take_archive(fs, paths.archive, store_id, book)
        )
        seq = checkpoints[0].seq if checkpoints else 0
        log = self._part(LogInventory(), paths.wal, lambda book: take_log(fs, paths.wal, store_id, seq, book))
        marks: dict[str, int] = self._part({}, paths.archive, lambda book: self._marks(store_id, book))
        folder = paths.exports / JOBS_FOLDER
        jobs = self._part(JobsInventory({}, 0), folder, lambda book: take_jobs(fs, folder, store_id, book))
        disk: dict[str, int] = self._part({}, paths.base, self._disk)
        quarantined: tuple[str, ...] = self._part((), paths.quarantine, self._quarantined)
        self._part(None, paths.base, self._note_leftovers)
        return Survey(
            path=paths.base,
            exists=self._exists,
            is_store=is_store,
            store_id=store_id,
            schema=schema,
            log=log,
            archive=archive,
            checkpoints=tuple(checkpoints),
            marks=marks,
            jobs=jobs,
            disk=disk,
            quarantined=quarantined,
            place=place or look_at_place(paths),
            findings=tuple(sorted(self._findings, key=lambda one: list(Severity).index(one.severity))),
        )

    def _has_parts(self) -> bool:
        paths = self._paths
        ours = {paths.identity.name, paths.schema.name, paths.wal.name, paths.checkpoints.name}
        return bool(ours & set(self._fs.list_dir(paths.base)))

    def _part(self, nothing: _T, folder: Path, look: Callable[[Notebook], _T]) -> _T:
        """Look at one part; again if there is damage in a folder that changed meanwhile."""
        for attempt in range(_LOOKS_MAX):
            book = Notebook(self._paths.base)
            before = self._signature(folder)
            try:
                found = look(book)
            except (CorruptionError, FormatTooNew, StorageError) as error:
                book.failed(folder, error, "not-regular")
                found = nothing
            if not book.damaged or attempt == _LOOKS_MAX - 1 or before == self._signature(folder):
                break
        self._findings += book.findings
        return found

    def _signature(self, folder: Path) -> list[tuple[str, int]]:
        book = Notebook(self._paths.base)  # what it says of the folder is said by the look itself
        return [(n, size_of(self._fs, folder / n)) for n in names_in_folder(self._fs, folder, book)]

    def _marks(self, store_id: bytes | None, book: Notebook) -> dict[str, int]:
        if store_id is None:
            return {}
        try:
            return Marks(self._fs, self._paths.archive, store_id).all()
        except (CorruptionError, FormatTooNew) as error:
            book.failed(self._paths.archive / MARKS_NAME, error, "marks-damaged")
            return {}

    def _disk(self, book: Notebook) -> dict[str, int]:
        paths, fs = self._paths, self._fs
        folders = {
            "log": paths.wal, "archive": paths.archive, "checkpoints": paths.checkpoints,
            "quarantine": paths.quarantine, "exports": paths.exports / JOBS_FOLDER,
        }  # fmt: skip
        used = {part: bytes_in(fs, folder, book) for part, folder in folders.items()}
        names = [name for name in names_in_folder(fs, paths.exports, book) if name != JOBS_FOLDER]
        used["exports"] += sum(size_of(fs, paths.exports / name) for name in names)
        names = [n for n in names_in_folder(fs, paths.base, book) if n.startswith(paths.entities.name)]
        used["entities"] = sum(size_of(fs, paths.base / name) for name in names)  # and what SQLite adds
        return {**used, "total": sum(used.values())}

    def _quarantined(self, book: Notebook) -> tuple[str, ...]:
        return tuple(names_in_folder(self._fs, self._paths.quarantine, book))

    def _note_leftovers(self, book: Notebook) -> None:
        paths = self._paths
        for folder in (paths.base, paths.wal, paths.checkpoints, paths.archive):
            for name in names_in_folder(self._fs, folder, book):
                if name.endswith(TEMPORARY_SUFFIX):
                    what = "an unfinished file that a crash left, or a writer at work"
                    book.note("leftover", folder / name, what)
