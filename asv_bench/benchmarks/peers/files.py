"""The same events as an archive of tidal and as Parquet compressed with zstd."""

from __future__ import annotations

from pathlib import Path

import tidal
from benchmarks.common import Events, ingest, schema
from benchmarks.peers import peer
from tidal.archive import archive_segments
from tidal.durable import OsFileSystem
from tidal.store import StorePaths
from tidal.wal.segments import check_ends, list_segments


def archive(folder: Path, events: Events) -> list[Path]:
    """Write the events to a store's log, archive all of it, and return the archive's files, oldest first.

    They are those that db.archive() makes of a backlog like this one, of 128 MiB at most.
    """
    fs, paths = OsFileSystem(), StorePaths(folder)
    with tidal.open(folder, schema=schema(), sync="os", checkpoint_bytes=None) as db:
        ingest(db, events)
    segments = [segment for _, segment in list_segments(fs, paths.wal)]
    identity = check_ends(fs, segments[0], None).header.log
    while segments:
        made = archive_segments(fs, paths.archive, segments, identity=identity, schema=schema())
        segments = [it for it in segments if check_ends(fs, it, None).last_seq > made.last_seq]
    return sorted(paths.archive.glob("*.arc"))


def parquet(folder: Path, events: Events) -> Path:
    """Return the smaller of two files of the events, as DuckDB and Polars write them with zstd."""
    frame = peer("polars").DataFrame(columns(events))
    by_polars, by_duckdb = folder / "polars.parquet", folder / "duckdb.parquet"
    frame.write_parquet(by_polars, compression="zstd")
    with peer("duckdb").connect() as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute(f"COPY frame TO '{by_duckdb}' (FORMAT parquet, COMPRESSION zstd)")
    return min(by_polars, by_duckdb, key=lambda path: path.stat().st_size)


def columns(events: Events) -> dict[str, object]:
    """Return the columns under the names that peers know them by."""
    return {"entity_id": events.ids, "weight": events.weights, "timestamp": events.times}
