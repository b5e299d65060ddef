"""A log in a temporary folder, with clocks that do not move by themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import TidalError
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.schema.events import EventBatch
from tidal.wal import LogScan, LogWriter, parse_sync, read_batches, repair_tail, scan_log

STORE_ID = bytes(range(16))
FIRST_TIME = 1_700_000_000_000_000_000


class Log:
    """One log under test: opens writers on it, makes batches, reads it back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.fs: FileSystem = OsFileSystem()
        self.identity = LogIdentity(STORE_ID, epoch=1)
        self._writers: list[LogWriter] = []

    def writer(self, sync: str = "os", next_seq: int = 1, previous_hash: bytes = NO_HASH, **options) -> LogWriter:
        options = {"wall_clock": lambda: FIRST_TIME, "monotonic": time.monotonic} | options
        writer = LogWriter(
            options.pop("fs", self.fs), self.directory, identity=options.pop("identity", self.identity),
            next_seq=next_seq, previous_hash=previous_hash, sync=parse_sync(sync), **options,
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
        """The entity ids in the log; batch_of() numbers them as their sequences."""
        return [int(i) for _, batch in read_batches(self.fs, self.directory, **options) for i in batch.entity_id]

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


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    directory = tmp_path / "wal"
    directory.mkdir()
    made = Log(directory)
    yield made
    made.close()
