"""P3: from an archive to live state, beside engines that compute the same from Parquet."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.common import SKEWED, UNIFORM, events, schema
from benchmarks.peers import files, recompute

from goals.bench import Bench, alternate, seconds
from goals.row import Row
from tidal.archive import read_archive
from tidal.durable import OsFileSystem
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch
from tidal.store import StorePaths
from tidal.wal import read_batches


def archives(bench: Bench) -> Iterator[Row]:
    """Millions of events a second by one thread; then every answer of every entity, as peers give."""
    for name, skew in (("uniform", UNIFORM), ("skewed", SKEWED)):
        yield from _stream(bench, name, skew)


def _stream(bench: Bench, name: str, skew: int) -> Iterator[Row]:
    stream = events(bench.entities, bench.events, skew=skew)
    at, folder = int(stream.times.max()), bench.new_folder()
    archive = files.archive(folder / "store", stream)
    parquet = files.parquet(folder, stream)
    log = StorePaths(folder / "store").wal
    answers = {
        "tidal": recompute.tidal_archive(archive, at),
        "duckdb": recompute.duckdb_parquet(parquet, at, threads=1),
        "duckdb, all cores": recompute.duckdb_parquet(parquet, at),
        "polars, all cores": recompute.polars_parquet(parquet, at),
    }
    taken = alternate(
        bench.passes,
        {
            "archive": lambda: replayed(read_archive(OsFileSystem(), archive)),
            "decode": lambda: seconds(lambda: deque(read_archive(OsFileSystem(), archive), maxlen=0)),
            "log": lambda: replayed(read_batches(OsFileSystem(), log)),
            **{engine: partial(seconds, work) for engine, work in answers.items()},
        },
    )
    rate = {work: bench.events / value / 1e6 for work, value in taken.items()}
    sizes = [sum(path.stat().st_size for path in paths) / bench.events for paths in (archive, [parquet])]
    shutil.rmtree(folder)
    yield Row("P3", f"archive replayed, {name}", rate["archive"], "M/s", "", 25, at_least=1)
    yield Row("", "reading and decoding alone", rate["decode"], "M/s")
    yield Row("", "log replayed", rate["log"], "M/s")
    yield Row("", "archive to all answers", rate["tidal"], "M/s", "DuckDB", rate["duckdb"], at_least=2.5)
    for engine in ("DuckDB", "Polars"):
        cores = rate[f"{engine.lower()}, all cores"]
        yield Row("", f"beside {engine} by all cores", rate["tidal"], "M/s", engine, cores)
    yield Row("", "archive, an event", sizes[0], "B", "Parquet", sizes[1], at_most=0.6)


def replayed(batches: Iterable[tuple[int, EventBatch]]) -> float:
    """Return the seconds from batches to the state of an empty ledger."""
    ledger = SignalLedger(schema())

    def run() -> None:
        with ledger.gathering() as gathering:
            for _, batch in batches:
                gathering.add(batch)

    return seconds(run)


def first_events(archive: Sequence[Path], count: int) -> float:
    """Return the seconds that the replay of an archive's first events takes."""
    return replayed(read_archive(OsFileSystem(), archive, until_seq=count))
