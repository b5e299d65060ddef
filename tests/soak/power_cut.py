"""Real power cuts: the file system is shut down under a working store, and mounted again. Needs root.

ext4 (ordered, writeback, journal) and XFS on a loop device; in every second cut the journal is still
flushed, which gives the states with metadata but without data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faultkit.killer import Killer
from faultkit.mounts import FLUSH_JOURNAL, FLUSH_NOTHING, KINDS, Kind, LoopDisk, available, loop_disk, why_not
from soakkit import NOT_HERE, Progress, finish

SIZES = {"small": ["--cycles", "400"], "full": ["--cycles", "30000"]}

_CYCLES_OF_A_DISK = 480


class Socket:
    """The power of one disk; every second cut lets the journal out."""

    def __init__(self, disk: LoopDisk) -> None:
        self._disk, self._cuts = disk, 0

    def cut(self) -> None:
        self._disk.cut((FLUSH_JOURNAL, FLUSH_NOTHING)[self._cuts % 2])

    def come_back(self) -> None:
        self._cuts += 1  # here, and not in cut(), which may run in the worker
        self._disk.come_back()


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="power_cut", description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    if (reason := why_not()) is not None:
        print(f"power_cut: NOT RUN: {reason}", file=sys.stderr)
        return NOT_HERE
    kinds = [kind for kind in KINDS if available(kind)]
    progress = Progress(args.cycles, "power cuts")
    cuts = dict.fromkeys((kind.name for kind in kinds), 0)
    violations: list[str] = []
    recoveries = events = disks = 0
    while progress.done < args.cycles:
        kind = kinds[disks % len(kinds)]
        share = min(_CYCLES_OF_A_DISK, max(12, args.cycles // len(kinds)))
        killer = _one_disk(kind, share, args.seed + disks)
        disks += 1
        cuts[kind.name] += killer.kills
        recoveries += killer.recoveries_killed
        events += killer.events
        violations += [f"{kind.name}: {text}" for text in killer.violations]
        progress.note(f"{recoveries:,} in recovery, {len(violations)} violations")
        progress.add(killer.cycles)
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


def _one_disk(kind: Kind, cycles: int, seed: int) -> Killer:
    with tempfile.TemporaryDirectory(prefix="tidal-power-", dir="/dev/shm") as folder:
        with loop_disk(Path(folder) / "disk", kind) as disk:
            killer = Killer(disk.point, seed, Socket(disk), stores=1)
            while killer.cycles < cycles and not killer.violations:
                killer.run_stores(min(12, cycles - killer.cycles))
        return killer
