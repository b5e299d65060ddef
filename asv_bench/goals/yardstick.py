"""floor.c, compiled on the spot, and asked for one pass at a time."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.common import Events

from goals.bench import Bench

SOURCE: Final = Path(__file__).parents[1] / "floor.c"
# All that this machine has: a yardstick makes no allowance for portability.
FLAGS: Final = ("-std=gnu11", "-O3", "-march=native")


def compiler() -> list[str]:
    """Return the C compiler's command."""
    return shlex.split(os.environ.get("CC", "cc"))


@functools.cache
def _built(folder: Path) -> Path:
    program = folder / "floor"
    subprocess.run([*compiler(), *FLAGS, str(SOURCE), "-o", str(program), "-lm"], check=True)
    return program


class Yardstick:
    """A running yardstick over some events. Use it in a ``with`` block."""

    def __init__(self, bench: Bench, events: Events) -> None:
        folder = bench.new_folder()
        ids, times = folder / "ids", folder / "times"
        events.ids.tofile(ids)
        events.times.tofile(times)
        command = [str(_built(bench.folder)), str(ids), str(times), str(len(events.ids))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.entities = int(self._ask("entities"))
        ids.unlink()  # it holds them
        times.unlink()

    def floor(self) -> float:
        """Return the seconds that touching the record of each event takes."""
        return float(self._ask("floor"))

    def ledger(self) -> float:
        """Return the seconds that the plain design takes for the events."""
        return float(self._ask("ledger"))

    def scan(self) -> float:
        """Return the seconds that reading each record once takes."""
        return float(self._ask("scan"))

    def _ask(self, name: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the yardstick ended with code {self._process.wait()} instead of an answer")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
