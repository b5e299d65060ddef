"""P9: what a second thread brings."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common import UNIFORM, Events, events, schema
from benchmarks.peers import files

import tidal
from goals.bench import Bench, alternate, in_threads, seconds
from goals.ingest import Feed
from goals.row import Row
from tidal.archive import ArchiveFile
from tidal.durable import OsFileSystem
from tidal.ledger import SignalLedger


def two(bench: Bench) -> Iterator[Row]:
    """Two threads beside one: batches into one database, and an archive's blocks into one ledger."""
    stream = events(bench.entities, bench.events, skew=UNIFORM)
    yield _row(bench, "P9", "ingest, two threads", _ingest(bench, stream))
    yield _row(bench, "", "replay, two threads", _replay(bench, stream))


def _row(bench: Bench, goal: str, work: str, taken: dict[str, float]) -> Row:
    one, both = (bench.events / taken[threads] / 1e6 for threads in ("one", "two"))
    return Row(goal, work, both, "M/s", "one", one, at_least=1.8)


def _ingest(bench: Bench, stream: Events) -> dict[str, float]:
    feed = Feed(tidal.open(schema=schema()), stream)
    return alternate(bench.passes, {"one": feed.seconds, "two": lambda: feed.seconds(threads=2)})


def _replay(bench: Bench, stream: Events) -> dict[str, float]:
    folder = bench.new_folder()
    archive = files.archive(folder, stream)
    taken = alternate(bench.passes, {"one": lambda: _blocks(archive, 1), "two": lambda: _blocks(archive, 2)})
    shutil.rmtree(folder)
    return taken


def _blocks(archive: Sequence[Path], threads: int) -> float:
    """Return the seconds in which threads read, check and apply the blocks of an archive in turns."""
    ledger = SignalLedger(schema())
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(ArchiveFile(OsFileSystem(), path)) for path in archive]
        blocks = [(file, entry) for file in files for entry in file.blocks()]

        def replay(thread: int) -> None:
            with ledger.gathering() as gathering:
                for file, entry in blocks[thread::threads]:
                    gathering.add(file.read(entry))

        return seconds(lambda: in_threads(threads, replay))
