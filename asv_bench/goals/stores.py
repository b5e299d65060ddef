"""P7: checkpoints, and opening a store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import SIGNAL, SKEWED, each_once, events, ingest, schema

import tidal
from goals.bench import Bench, alternate, seconds
from goals.row import Row
from tidal.checkpoint import list_checkpoints, read_checkpoint
from tidal.durable import OsFileSystem
from tidal.store import StorePaths

LOG_EVENTS = 300_000  # after the checkpoint


def reopen(bench: Bench) -> Iterator[Row]:
    """P7: a checkpoint and a log after it, as a killed process leaves them."""
    folder = bench.new_folder() / "store"
    paths = StorePaths(folder)
    with tidal.open(folder, schema=schema(), sync="os", checkpoint_bytes=None) as db:
        first = each_once(bench.entities)
        ingest(db, first)
        second = events(bench.entities, 2 * bench.entities, skew=SKEWED)
        ingest(db, second, shift_ns=first.span_ns)

        def write() -> float:
            db.signal(SIGNAL, 1)  # without it there would be nothing new to save
            return seconds(db.checkpoint)

        def plain() -> float:
            return _plain_write(bench, state)

        def read() -> float:
            return seconds(lambda: read_checkpoint(OsFileSystem(), _newest(paths)))

        db.signal(SIGNAL, 1)
        db.checkpoint()
        state = b"".join(array.tobytes() for array in db._ledger.save()[1].values())
        taken = alternate(bench.passes, {"write": write, "plain": plain, "read": read})
        size = _newest(paths).stat().st_size / 1e9
        third = events(bench.entities, LOG_EVENTS, skew=SKEWED)
        ingest(db, third, shift_ns=first.span_ns + second.span_ns)
        db.flush()
        crashed = [shutil.copytree(folder, bench.new_folder() / "store") for _ in range(bench.passes)]
    opened = alternate(bench.passes, {"open": lambda: _open(crashed.pop())})["open"]
    yield Row("P7", f"open with {LOG_EVENTS:,} in the log", opened, "s", "", 0.5, at_most=1)
    plainly, written = (len(state) / 1e9 / taken[name] for name in ("plain", "write"))
    yield Row("", "state written, verified", written, "GB/s", "", 1, at_least=1)
    yield Row("", "beside as many bytes, synced", written, "GB/s", "plain write", plainly)
    yield Row("", "bytes of file, of state", size, "GB", "state", len(state) / 1e9)
    yield Row("", "file read, verified", size / taken["read"], "GB/s", "", 1, at_least=1)


def _newest(paths: StorePaths) -> Path:
    return list_checkpoints(OsFileSystem(), paths.checkpoints)[0].path


def _plain_write(bench: Bench, data: bytes) -> float:
    target = bench.new_folder() / "plain"

    def write() -> None:
        with target.open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())

    taken = seconds(write)
    target.unlink()
    return taken


def _open(folder: Path) -> float:
    opened: list[tidal.TidalDb] = []
    taken = seconds(lambda: opened.append(tidal.open(folder)))
    opened[0].close()
    shutil.rmtree(folder)
    return taken
