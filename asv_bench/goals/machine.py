"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import Final

import numpy as np

from goals.bench import seconds
from goals.yardstick import compiler

_SAMPLES: Final = 50  # of some milliseconds each, every time
_STEPS: Final = 100_000


def machine(folder: Path) -> list[str]:
    """Return lines that describe the processor, the system, the disk of a folder, and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    built_by = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True)
    return [
        f"{_field(Path('/proc/cpuinfo'), 'model name')}, {os.cpu_count()} cores, {memory:.0f} GiB",
        f"{platform.system()} {platform.release()}, {platform.machine()}, {_file_system(folder)}",
        f"Python {platform.python_version()}, NumPy {np.__version__}, {built_by.stdout.splitlines()[0]}",
    ]


class Pace:
    """How much of a processor there was: the same loop of integers, which needs no memory, timed again and
    again. Whoever shares the processor takes from every other figure what is taken from this one.
    """

    def __init__(self) -> None:
        self.taken: list[float] = []

    def sample(self) -> None:
        """Time the loop some times; a fraction of a second."""
        self.taken += [seconds(lambda: sum(range(_STEPS))) for _ in range(_SAMPLES)]

    def line(self) -> str:
        """Return what the loop took beside its best."""
        best, *_, longest = sorted(self.taken)
        median = statistics.median(self.taken) / best
        return (
            f"The same loop of integers, timed {len(self.taken):,} times in between, took {median:.2f} times "
            f"its best by the median, {longest / best:.1f} times at most"
        )


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return platform.processor() or "a processor that does not say its name"


def _file_system(folder: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = {str(parent) for parent in (folder.resolve(), *folder.resolve().parents)}
    return max((mount for mount in mounts if mount[1] in above), key=lambda mount: len(mount[1]))[2]
