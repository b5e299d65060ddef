"""The demo's ingest worker: a process of its own, so that it can be killed; and the parent's end of its pipe.

The worker prints a line for each batch that the store has acknowledged, so the parent knows exactly what must
be there after a kill. Started again, it goes on after the last event that the store holds.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from tidal.demo.cluster.processes import environment
from tidal.demo.retail import read_order_lines, retail_schema
from tidal.errors import TidalError
from tidal.opening import open as open_db

BATCH_ROWS: Final = 4096
KILL_DELAY_MAX: Final = 0.03  # seconds, about the time of one batch: a kill may come at any moment of it


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the worker said last: the newest durable sequence, and the seconds spent inside db.ingest()."""

    seq: int = 0
    ingest_seconds: float = 0.0


def work(store: Path, skip_rows: int, out: TextIO) -> None:
    """Ingest the bundled rows after the first ``skip_rows`` that the store does not hold yet."""
    spent = 0.0
    with open_db(store, schema=retail_schema(), sync="group", clock="event") as db:
        for lines in read_order_lines(batch_rows=BATCH_ROWS, skip_rows=skip_rows + db.last_seq):
            started = time.perf_counter()
            done = db.ingest(**lines.events())
            spent += time.perf_counter() - started
            out.write(f"{done.last_seq} {spent:.6f}\n")
            out.flush()


def run_worker(
    store: Path, skip_rows: int, on_acknowledged: Callable[[int], None], *, kill_at: int | None = None
) -> Acknowledged:
    """Run a worker to its end, or until a moment after it has acknowledged ``kill_at``: then SIGKILL.

    Returns the last acknowledgement, of those too that were in the pipe when the worker died.
    """
    command = [sys.executable, "-m", "tidal.demo.worker", str(store), str(skip_rows)]
    last = Acknowledged()
    killed = False
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.endswith("\n"):  # the last line may be cut
                    seq, seconds = line.split()
                    last = Acknowledged(int(seq), float(seconds))
                    on_acknowledged(last.seq)
                if not killed and kill_at is not None and last.seq >= kill_at:
                    time.sleep(random.uniform(0, KILL_DELAY_MAX))
                    process.kill()
                    killed = True
        except BaseException:
            process.kill()
            raise
    if not killed and process.returncode != 0:
        raise TidalError(f"the ingest worker failed with exit code {process.returncode}")
    return last


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # the parent has ended, and says so itself
        work(Path(sys.argv[1]), int(sys.argv[2]), sys.stdout)
