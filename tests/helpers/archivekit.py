"""A store of a log with small segments and its archive; a file system that fails at one call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tidal.archive.retention import parse_retain
from tidal.archive.upkeep import Archiver, ArchiveReport
from tidal.durable import File, FileSystem, OsFileSystem
from tidal.format.manifest import Manifest
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.history import read_history
from tidal.schema import EventBatch, SchemaBuilder
from tidal.store import StorePaths
from tidal.wal import LogWriter, parse_sync

STORE_ID = bytes(range(16))
FIRST_TIME = 1_700_000_000_000_000_000
SECOND = 10**9
SCHEMA = SchemaBuilder().signal("view", half_life="7d").signal("like", half_life="30d").build()


class QuickFs(OsFileSystem):
    """The real file system, which syncs nothing: no test with it cuts the power."""

    def create(self, path: Path) -> File:
        file = super().create(path)
        file.sync = lambda: None  # type: ignore[method-assign]
        return file

    def sync_dir(self, path: Path) -> None:
        pass


class Store:
    """A log under test: made by ``fill``, archived by ``archive``, read by ``events``."""

    def __init__(self, base: Path, file_log_bytes: int = 1) -> None:
        """``file_log_bytes``: 1 is a file for each segment."""
        self.file_log_bytes = file_log_bytes
        self.fs: FileSystem = QuickFs()
        self.paths = StorePaths(base)
        for folder in (base, self.paths.wal, self.paths.archive):
            folder.mkdir()
        self.identity = LogIdentity(STORE_ID, epoch=1)
        self.now = FIRST_TIME
        self.log = self._open(self.fs)
        self.archiver = self.new_archiver()

    def _open(self, fs: FileSystem) -> LogWriter:
        return LogWriter(
            fs, self.paths.wal, identity=self.identity, next_seq=1, previous_hash=NO_HASH,
            sync=parse_sync("os"), wall_clock=lambda: FIRST_TIME, monotonic=time.monotonic,
            segment_bytes=1, manifest=Manifest(STORE_ID, epoch=1, clean=False),
        )  # fmt: skip

    def new_archiver(self, retain: str | int = "forever", fs: FileSystem | None = None) -> Archiver:
        retention = parse_retain(retain)
        now = lambda: self.now  # noqa: E731
        return Archiver(fs or self.fs, self.paths, self.identity, SCHEMA, retention, now, self.file_log_bytes)

    def fill(self, counts: Sequence[int]) -> None:
        """Append a batch of each length; each becomes a segment of its own."""
        for count in counts:
            self.log.append(self.batch(count, self.log.last_seq + 1))
        self.log.flush()

    @staticmethod
    def batch(count: int, first: int) -> EventBatch:
        """Events whose entity ids are their sequences; event n is at second n."""
        ids = np.arange(first, first + count, dtype=np.uint64)
        times = FIRST_TIME + ids.view(np.int64) * SECOND
        return EventBatch(ids, (ids % 2).astype(np.uint8), np.ones(count, np.float32), times)

    def archive(self, needed_after: int | None = None) -> ArchiveReport:
        after = self.log.last_seq if needed_after is None else needed_after
        return self.archiver.run(after, self.log.forget)

    def events(self, **options) -> list[int]:
        """The entity ids of the history: those of their sequences."""
        read = read_history(self.fs, self.paths, identity=self.identity, **options)
        found = []
        for first, batch in read:
            assert batch.entity_id[0] == first
            found += batch.entity_id.tolist()
        return found

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.paths.archive.glob("*.arc*"))

    @property
    def segments(self) -> list[str]:
        return sorted(path.name for path in self.paths.wal.glob("*.seg*"))


def spoil(path: Path, lost: bool) -> bytes:
    """Remove a file, or turn a bit of its last byte; return what it was."""
    good = path.read_bytes()
    if lost:
        path.unlink()
    else:
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    return good


class Died(BaseException):
    """What stands for the end of the process."""


class FailingFs(QuickFs):
    """A QuickFs that raises at the n-th call (from 0), or from then on; it counts all calls."""

    def __init__(self, at: int, error: BaseException, *, sticky: bool = False) -> None:
        super().__init__()
        self.at, self.error, self.sticky = at, error, sticky
        self.calls = 0
        self.renamed: list[str] = []  # what files were renamed to

    def step(self) -> None:
        """Count a call, and raise if it is the one."""
        number = self.calls
        self.calls += 1
        if number == self.at or (self.sticky and number > self.at):
            raise self.error

    def create(self, path: Path) -> File:
        self.step()
        return cast(File, FailingFile(self, super().create(path)))

    def open_read(self, path: Path) -> File:
        self.step()
        return cast(File, FailingFile(self, super().open_read(path)))

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        super().rename(source, target)
        self.renamed.append(target.name)

    def remove(self, path: Path) -> None:
        self.step()
        super().remove(path)

    def sync_dir(self, path: Path) -> None:
        self.step()
        super().sync_dir(path)

    def list_dir(self, path: Path) -> list[str]:
        self.step()
        return super().list_dir(path)


class FailingFile:
    """A file of a FailingFs."""

    def __init__(self, fs: FailingFs, file: File) -> None:
        self._fs, self._file = fs, file

    def append(self, parts: list[bytes]) -> int:
        self._fs.step()
        return self._file.append(parts)

    def sync(self) -> None:
        self._fs.step()
        self._file.sync()

    def read_at(self, offset: int, length: int) -> bytes:
        self._fs.step()
        return self._file.read_at(offset, length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
