"""A worker that is killed in the midst of its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def kill_while_it_works(code: str, *arguments: object, seconds: float) -> int:
    """Run code, kill the process some time after its first line; return the last number it wrote whole."""
    worker = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path)))},
    )
    assert worker.stdout is not None
    first = worker.stdout.readline()
    time.sleep(seconds)
    os.kill(worker.pid, signal.SIGKILL)
    said = [line for line in (first + worker.stdout.read()).split("\n")[:-1] if line]
    worker.stdout.close()
    assert worker.wait() == -signal.SIGKILL
    return int(said[-1])
