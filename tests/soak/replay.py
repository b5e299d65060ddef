"""Replays real events, tiled to millions, by processes and a dask cluster, with a worker killed on the way.

python tests/soak/run.py replay --events 50000000 --out replay.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from soakkit import Progress, finish, told
from tiledkit import make_tiled_store

import tidal
from tidal.replay import replaying

SIZES = {"small": ("--events", "400000"), "full": ("--events", "50000000")}
WORKERS = 2
TOLERANCE = 1e-9


class Killer:
    """Kills one worker, by its process id, when the first task is done: then the others are at work."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids
        self.killed = 0

    def __call__(self, progress: tidal.ReplayProgress) -> None:
        if not self.killed and progress.events < progress.events_total:
            self.killed = self._pids()[0]
            os.kill(self.killed, signal.SIGKILL)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--store", type=Path, help="use the store there, or make it there, and keep it")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    violations: list[str] = []
    figures: dict[str, Any] = {"events": args.events}
    replaying.TASK_EVENTS = min(replaying.TASK_EVENTS, args.events // 6)
    progress = Progress(3, "replays")
    with tempfile.TemporaryDirectory(prefix="tidal-replay-") as folder:
        store = args.store or Path(folder) / "store"
        if not store.exists():
            figures["seconds to make the store"], _ = _timed(lambda: make_tiled_store(store, args.events))
        figures["bytes of archive and log"] = sum(
            path.stat().st_size for part in ("archive", "wal") for path in (store / part).iterdir()
        )
        figures["seconds, serial"], serial = _timed(lambda: tidal.replay(store))
        progress.add()
        for name, run in (("processes", _by_processes), ("dask", _by_dask)):
            with told(violations):
                for scratch in (None, Path(folder) / name):
                    how = f"{name}, {'bytes' if scratch is None else 'scratch'}"
                    figures[f"seconds, {how}"], (found, killed) = _timed(lambda: run(store, scratch))  # noqa: B023
                    figures[f"workers killed, {how}"] = int(killed > 0)
                    if not killed:
                        violations.append(f"{how}: no worker was killed")
                    violations += [f"{how}: {it}" for it in _differences(serial, found)]
                    del found
            progress.add()
    progress.end()
    return finish(
        args.out, program="replay", seconds=progress.seconds, figures=figures, violations=violations
    )


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.monotonic()
    result = run()
    return round(time.monotonic() - begin, 1), result


def _by_processes(store: Path, scratch: Path | None) -> tuple[tidal.Replayed, int]:
    killer = Killer(lambda: [child.pid for child in multiprocessing.active_children() if child.pid])
    return tidal.replay(store, executor=WORKERS, scratch=scratch, progress=killer), killer.killed


def _by_dask(store: Path, scratch: Path | None) -> tuple[tidal.Replayed, int]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None,
            host="127.0.0.1", silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        executor: Executor = client.get_executor()
        killer = Killer(lambda: sorted(client.run(os.getpid).values()))
        return tidal.replay(store, executor=executor, scratch=scratch, progress=killer), killer.killed


def _differences(serial: tidal.Replayed, found: tidal.Replayed) -> list[str]:
    """Return where two replays do not agree: counts and times exactly, scores to TOLERANCE."""
    wrong = [] if serial.events == found.events else [f"{found.events} events"]
    for signal_type in serial.schema:
        name = signal_type.name
        one, other = (dict(it.read(name)) for it in (serial, found))
        rows, others = (np.argsort(it["entity_id"]) for it in (one, other))
        # Of a signed type's sum what it is relative to is not here: the largest of all does for it.
        for measure, column in one.items():
            want, got = column[rows], other[measure][others]
            if measure.startswith("score"):
                size = np.abs(want) if not signal_type.signed else np.abs(want).max(initial=0)
                good = np.abs(want - got) <= TOLERANCE * size + 1e-290
            else:
                good = want == got
            if not good.all():
                wrong.append(f"{name}.{measure}: {int((~good).sum())} of {len(good)} differ")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
