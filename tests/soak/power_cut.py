"""Real power cuts: the file system is shut down under a working store, and mounted again. Needs root.

ext4 (ordered, writeback, journal) and XFS on a loop device; in every second cut the journal is still
flushed, which gives the states with metadata but without data.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bytekit.parallel import spread
from faultkit.killer import Killer
from faultkit.mounts import FLUSH_JOURNAL, FLUSH_NOTHING, KINDS, LoopDisk, available, loop_disk, why_not
from soakkit import NOT_HERE, Progress, finish

SIZES = {"small": ["--cycles", "400"], "full": ["--cycles", "30000", "--workers", "2"]}

_CYCLES_OF_A_DISK = 60  # a new disk takes a fraction of a second


class Socket:
    """The power of one disk; every second cut lets the journal out."""

    def __init__(self, disk: LoopDisk) -> None:
        self._disk, self._cuts = disk, 0

    def cut(self) -> None:
        self._disk.cut((FLUSH_JOURNAL, FLUSH_NOTHING)[self._cuts % 2])

    def come_back(self) -> None:
        self._cuts += 1  # here, and not in cut(), which may run in the worker
        self._disk.come_back()


class Disk(NamedTuple):
    """One disk and its life: a file system, by its place in KINDS, and the cycles of stores on it."""

    kind: int
    cycles: int
    seed: int


class Life(NamedTuple):
    """What became of the stores of one disk."""

    name: str
    cycles: int
    cuts: int
    recoveries: int
    events: int
    violations: list[str]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="power_cut", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    if (reason := why_not()) is not None:
        print(f"power_cut: NOT RUN: {reason}", file=sys.stderr)
        return NOT_HERE
    progress = Progress(args.cycles, "cycles")
    cuts: collections.Counter[str] = collections.Counter()
    violations: list[str] = []
    recoveries = events = 0
    for life in spread(run_disk, _disks(args.cycles, args.seed), args.workers):
        cuts[life.name] += life.cuts
        recoveries += life.recoveries
        events += life.events
        violations += [f"{life.name}: {text}" for text in life.violations]
        progress.note(
            f"{sum(cuts.values()):,} cuts, {recoveries:,} in recovery, {len(violations)} violations"
        )
        progress.add(life.cycles)
    progress.end()
    figures = {
        "cycles": progress.done,
        "power cuts": sum(cuts.values()),
        **{f"on {name}": count for name, count in cuts.items()},
        "cuts in recovery": recoveries,
        "events": events,
    }
    return finish(
        args.out, program="power_cut", seconds=progress.seconds, figures=figures, violations=violations
    )


def _disks(cycles: int, seed: int) -> Iterator[Disk]:
    """Yield disks that have at least this many cycles together, each file system in its turn."""
    kinds = [number for number, kind in enumerate(KINDS) if available(kind)]
    share = min(_CYCLES_OF_A_DISK, max(12, cycles // len(kinds)))
    for number in range(-(-cycles // share)):
        yield Disk(kinds[number % len(kinds)], share, seed + number)


def run_disk(disk: Disk) -> Life:
    """Make the disk, cut its power off so many times under a store, and judge what is left each time."""
    kind = KINDS[disk.kind]
    with (
        tempfile.TemporaryDirectory(prefix="tidal-power-", dir="/dev/shm") as folder,
        loop_disk(Path(folder) / "disk", kind) as loop,
    ):
        killer = Killer(loop.point, disk.seed, Socket(loop), stores=1)
        while killer.cycles < disk.cycles and not killer.violations:
            killer.run_stores(min(12, disk.cycles - killer.cycles))
    return Life(
        kind.name, killer.cycles, killer.kills, killer.recoveries_killed, killer.events, killer.violations
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
