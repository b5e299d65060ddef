"""Every answer of every entity from all events: what an engine without live state does for each question.

The sums and counts are those of tidal: a score with a half-life of seven days, and windows of whole minutes
(1h) and hours (24h, 7d) that end with the one that time ``at`` is in. Each function returns what computes
them, so that loading into memory is no part of a measurement from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SIGNAL, Events, schema
from benchmarks.peers import peer
from benchmarks.peers.files import columns
from tidal.archive import read_archive
from tidal.durable import OsFileSystem
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch

Answers = dict[str, NDArray[Any]]  # entity_id, in any order, and what NAMES says
Recompute = Callable[[], Answers]

NAMES: Final = ("score", "count_1h", "count_24h", "count_7d", "count_all")

_MINUTE_NS: Final = 60 * 10**9
_HOUR_NS: Final = 60 * _MINUTE_NS
_DECAY_PER_NS: Final = math.log(2) / (7 * 24 * _HOUR_NS)
_BUCKETS: Final = {"count_1h": (_MINUTE_NS, 60), "count_24h": (_HOUR_NS, 24), "count_7d": (_HOUR_NS, 168)}


def _window_starts(at: int) -> dict[str, int]:
    """Return the first time, in ns, that each window counts."""
    return {name: (at // bucket - length + 1) * bucket for name, (bucket, length) in _BUCKETS.items()}


def tidal_memory(events: Events, at: int) -> Recompute:
    """Columns to the live state of an empty ledger, and all of it read."""
    types = np.zeros(len(events.ids), "u1")
    batch = EventBatch(events.ids, types, events.weights, events.times)
    return lambda: _live([batch], at)


def tidal_archive(files: Sequence[Path], at: int) -> Recompute:
    """The same from archive files, of which every hash is checked."""
    return lambda: _live((batch for _, batch in read_archive(OsFileSystem(), files)), at)


def _live(batches: Iterable[EventBatch], at: int) -> Answers:
    ledger = SignalLedger(schema())
    with ledger.gathering() as gathering:
        for batch in batches:
            gathering.add(batch)
    read = ledger.read(SIGNAL, measures=[name.replace("_", ".") for name in NAMES], at=at)
    return {"entity_id": read["entity_id"], **{name: read[name.replace("_", ".")] for name in NAMES}}


def duckdb_memory(events: Events, at: int, *, threads: int | None = None) -> Recompute:
    """SQL over DuckDB's own table; by all cores unless ``threads`` says how many."""
    connection = _duckdb(threads)
    arrow = peer("polars").DataFrame(columns(events)).to_arrow()
    connection.register("arrow", arrow)
    connection.execute("CREATE TABLE events AS SELECT * FROM arrow")
    connection.unregister("arrow")
    return lambda: _by_sql(connection, "events", at)


def duckdb_parquet(path: Path, at: int, *, threads: int | None = None) -> Recompute:
    """The same SQL over a Parquet file."""
    connection = _duckdb(threads)
    return lambda: _by_sql(connection, f"read_parquet('{path}')", at)


def _duckdb(threads: int | None) -> Any:
    return peer("duckdb").connect(config={} if threads is None else {"threads": threads})


def _by_sql(connection: Any, source: str, at: int) -> Answers:
    counts = ", ".join(
        f"count(*) FILTER (WHERE timestamp >= {start}) AS {name}"
        for name, start in _window_starts(at).items()
    )
    found: Answers = connection.execute(
        f"SELECT entity_id, sum(weight * exp((timestamp - {at}) * {_DECAY_PER_NS!r}::DOUBLE)) AS score, "
        f"{counts}, count(*) AS count_all FROM {source} GROUP BY entity_id"
    ).fetchnumpy()
    return found


def polars_memory(events: Events, at: int) -> Recompute:
    """A lazy query over a frame, by all cores."""
    frame = peer("polars").DataFrame(columns(events)).lazy()
    return lambda: _by_polars(frame, at)


def polars_parquet(path: Path, at: int) -> Recompute:
    """The same query over a Parquet file."""
    polars = peer("polars")
    return lambda: _by_polars(polars.scan_parquet(path), at)


def _by_polars(frame: Any, at: int) -> Answers:
    polars = peer("polars")
    time, weight = polars.col("timestamp"), polars.col("weight")
    counts = {name: (time >= start).sum() for name, start in _window_starts(at).items()}
    found = (
        frame.group_by("entity_id")
        .agg(score=(weight * ((time - at) * _DECAY_PER_NS).exp()).sum(), **counts, count_all=polars.len())
        .collect()
    )
    return {name: found[name].to_numpy() for name in ("entity_id", *NAMES)}


def pandas_memory(events: Events, at: int) -> Recompute:
    """A group-by over a frame, by one core."""
    frame = peer("pandas").DataFrame(columns(events))
    return lambda: _by_pandas(frame, at)


def pandas_parquet(path: Path, at: int) -> Recompute:
    """The same over a Parquet file, which is read whole."""
    pandas = peer("pandas")
    peer("pyarrow")
    return lambda: _by_pandas(pandas.read_parquet(path), at)


def _by_pandas(frame: Any, at: int) -> Answers:
    time = frame["timestamp"]
    values = {
        "score": frame["weight"] * np.exp((time - at) * _DECAY_PER_NS),
        **{name: time >= start for name, start in _window_starts(at).items()},
        "count_all": np.ones(len(frame), "i8"),
    }
    found = frame[["entity_id"]].assign(**values).groupby("entity_id", sort=False).sum()
    return {"entity_id": found.index.to_numpy(), **{name: found[name].to_numpy() for name in NAMES}}
