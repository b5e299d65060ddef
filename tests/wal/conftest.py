"""A log in a temporary folder, with clocks that do not move by themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidal.durable import File, FileSystem, OsFileSystem
from tidal.errors import TidalError
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.schema.events import EventBatch
from tidal.wal import (
    BufferedLogWriter,
    LogScan,
    LogWriter,
    parse_sync,
    read_batches,
    repair_tail,
    scan_log,
)

STORE_ID = bytes(range(16))
FIRST_TIME = 1_700_000_000_000_000_000


class Log:
    """One log under test: opens writers on it, makes batches, reads it back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fs: FileSystem = OsFileSystem()
        self.identity = LogIdentity(STORE_ID, epoch=1)
        self._writers: list[LogWriter] = []

    def writer(
        self, sync: str = "os", next_seq: int = 1, previous_hash: bytes = NO_HASH, **options
    ) -> LogWriter:
        options = {"wall_clock": lambda: FIRST_TIME, "monotonic": time.monotonic} | options
        policy = parse_sync(sync)
        writer = (BufferedLogWriter if policy.buffers else LogWriter)(
            options.pop("fs", self.fs), self.directory, identity=options.pop("identity", self.identity),
            next_seq=next_seq, previous_hash=previous_hash, sync=policy, **options,
        )  # fmt: skip
        self._writers.append(writer)
        return writer

    def filled(self, counts: list[int], *, sync: str = "group", **options) -> LogWriter:
        """A closed writer that appended batches of these lengths, each made durable before the next."""
        writer = self.writer(sync, **options)
        for count in counts:
            writer.commit(writer.append(self.batch(count, writer.last_seq + 1))[1])
        writer.close()
        return writer

    def events(self, **options) -> list[int]:
        """The entity ids in the log; batch() numbers them as their sequences."""
        batches = read_batches(self.fs, self.directory, **options)
        return [int(entity) for _, batch in batches for entity in batch.entity_id]

    @staticmethod
    def batch(count: int, first: int, type_id: int = 0) -> EventBatch:
        """Events whose entity ids are first, first + 1, ...: those of their sequences, if appended next."""
        ids = np.arange(first, first + count, dtype=np.uint64)
        times = FIRST_TIME + ids.view(np.int64) * 1000
        return EventBatch(ids, np.full(count, type_id, np.uint8), np.ones(count, np.float32), times)

    def scan(self, **options) -> LogScan:
        return scan_log(self.fs, self.directory, self.identity, **options)

    def repair(self) -> LogScan:
        return repair_tail(self.fs, self.scan(), self.directory.parent / "quarantine")

    @property
    def paths(self) -> list[Path]:
        return sorted(self.directory.glob("wal-*.seg"))

    def close(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(TidalError):  # a test may have poisoned it
                writer.close()


class RecordingFile:
    def __init__(self, fs: RecordingFs, file: File) -> None:
        self.path, self._fs, self._file = file.path, fs, file

    def append(self, parts: list[bytes]) -> int:
        if (error := self._fs.enter("append", self.path)) is not None:
            self._file.append([b"".join(parts)[: self._fs.short]])
            raise error
        written = self._file.append(parts)
        self._fs.leave("append")
        return written

    def sync(self) -> None:
        if (error := self._fs.enter("sync", self.path)) is not None:
            raise error
        self._file.sync()
        self._fs.leave("sync")

    def truncate(self, size: int) -> None:
        if (error := self._fs.enter("truncate", self.path)) is not None:
            raise error
        self._file.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class RecordingFs(OsFileSystem):
    """The real file system, with a list of the calls that change it, and errors where a test wants them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.errors: dict[str, BaseException] = {}  # raised by the next such call, which does nothing
        self.late_errors: dict[str, BaseException] = {}  # raised after the next such call was made
        self.short = 0  # bytes that a failing append writes

    def enter(self, call: str, path: Path) -> BaseException | None:
        self.calls.append((call, path.name))
        return self.errors.pop(call, None)

    def leave(self, call: str) -> None:
        if (error := self.late_errors.pop(call, None)) is not None:
            raise error

    def create(self, path: Path) -> File:
        if (error := self.enter("create", path)) is not None:
            raise error
        return RecordingFile(self, super().create(path))

    def sync_dir(self, path: Path) -> None:
        if (error := self.enter("sync_dir", path)) is not None:
            raise error
        super().sync_dir(path)

    def rename(self, source: Path, target: Path) -> None:
        if (error := self.enter("rename", target)) is not None:
            raise error
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        if (error := self.enter("remove", path)) is not None:
            raise error
        super().remove(path)


@pytest.fixture
def faulty(log: Log) -> RecordingFs:
    """The file system of the log fixture, made to record and to fail."""
    log.fs = RecordingFs()
    return log.fs


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    directory = tmp_path / "wal"
    directory.mkdir()
    made = Log(directory)
    yield made
    made.close()
