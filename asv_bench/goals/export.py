"""P10: export."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars
from benchmarks.common import BATCH_EVENTS, Events, events, schema

import tidal
from goals.bench import Bench, alternate, seconds
from goals.row import Row
from tidal import ExportRequest

SHARE = 5  # of the events of a run: ten million rows of JSON are more than a gigabyte
PARTS = 50  # of the time that the events span


def to_files(bench: Bench) -> Iterator[Row]:
    """The log as JSON Lines and CSV, beside Polars' writers and a plain write of the same bytes."""
    folder = bench.new_folder()
    stream = events(bench.entities, bench.events // SHARE)
    with tidal.open(folder / "store", schema=schema(), sync="os") as db:
        for batch in stream.batches():
            db.ingest(**batch, user_id=batch["entity_id"][::-1])
        db.flush()
        frame = polars.DataFrame(db.export_signals(ExportRequest(all=True))).with_columns(
            polars.col("timestamp_ns").cast(polars.Int64)
        )
        yield from _text(bench, db, frame, folder, "JSON Lines", "jsonl", 2.0)
        yield from _text(bench, db, frame, folder, "CSV", "csv", 1.0)
        yield _range(bench, db, stream)
    shutil.rmtree(folder)


def _text(
    bench: Bench, db: tidal.TidalDb, frame: polars.DataFrame, folder: Path, name: str, suffix: str, aim: float
) -> Iterator[Row]:
    path, other = folder / f"ours.{suffix}", folder / f"theirs.{suffix}"
    write = frame.write_ndjson if suffix == "jsonl" else frame.write_csv
    _export(db, path)
    data = path.read_bytes()
    taken = alternate(
        bench.passes,
        {
            "ours": lambda: seconds(lambda: _export(db, path)),
            "Polars": lambda: seconds(lambda: write(other)),
            "plain write": lambda: seconds(lambda: _plain(other, data)),
            "text": lambda: seconds(lambda: _chunks(db, suffix)),
        },
    )
    rates = {who: frame.height / time / 1e6 for who, time in taken.items()}
    goal = "P10" if suffix == "jsonl" else ""
    yield Row(goal, f"export, {name}", rates["ours"], "M/s", "Polars", rates["Polars"], at_least=aim)
    yield Row(
        "", f"the same, {name}", rates["ours"], "M/s", "plain write", rates["plain write"], at_least=0.8
    )
    yield Row("", "reading and text alone", rates["text"], "M/s")


def _export(db: tidal.TidalDb, path: Path) -> None:
    db.export_signals(ExportRequest(all=True)).write(path)


def _chunks(db: tidal.TidalDb, suffix: str) -> None:
    """Make the bytes of the file, and drop them."""
    for _ in db.export_signals(ExportRequest(all=True)).table().chunks(suffix):
        pass


def _plain(path: Path, data: bytes) -> None:
    """Write bytes as durably as an export is."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _range(bench: Bench, db: tidal.TidalDb, stream: Events) -> Row:
    """A fiftieth of the time, in the middle: batches beside it are not decompressed.

    One or two batches hold it whole, and are read whole: with few batches that is a large part of all.
    """
    middle, count = len(stream.times) // 2, len(stream.times)
    start = int(stream.times[middle])
    part = ExportRequest.time_range(start, start + stream.span_ns // PARTS)
    needed = (middle + count // PARTS - 1) // BATCH_EVENTS - middle // BATCH_EVENTS + 1
    batches = -(-count // BATCH_EVENTS)
    taken = alternate(
        bench.passes,
        {
            "part": lambda: seconds(lambda: db.export_signals(part).to_arrow()),
            "all": lambda: seconds(lambda: db.export_signals(ExportRequest(all=True)).to_arrow()),
        },
    )
    work = f"1/{PARTS} of time ({needed}/{batches} batches)"
    return Row("", work, taken["part"] * 1e3, "ms", "all of it", taken["all"] * 1e3, at_most=0.1)
