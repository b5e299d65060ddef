"""Syncs that really fail, on ext4 and XFS: no false acknowledgement, nothing comes and goes. Needs root."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from faultkit.fsync_failure import Rig
from faultkit.mounts import KINDS, Kind, available, loop_disk, tmpfs, why_not
from soakkit import NOT_HERE, Progress, finish, told

SIZES = {"small": ["--cycles", "40"], "full": ["--cycles", "2000"]}

_ROOM_BYTES = 8 << 20  # of the tmpfs, beside the image
_CYCLES_OF_A_DISK = 100


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="fsync_failure", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    if (reason := why_not()) is not None:
        print(f"fsync_failure: NOT RUN: {reason}", file=sys.stderr)
        return NOT_HERE
    logging.disable(logging.CRITICAL)
    kinds = [kind for kind in KINDS if available(kind)]
    progress = Progress(args.cycles, "cycles")
    cycles = dict.fromkeys((kind.name for kind in kinds), 0)
    total: Counter[str] = Counter()
    disks = 0
    violations: list[str] = []
    while progress.done < args.cycles and not violations:
        kind = kinds[disks % len(kinds)]
        share = min(_CYCLES_OF_A_DISK, max(5, args.cycles // len(kinds)))
        rig = _one_disk(kind, share, args.seed + disks, violations)
        disks += 1
        cycles[kind.name] += rig.cycles
        total += Counter(
            {
                "failed syncs": rig.failed_syncs,
                "opened in the same boot": rig.opened_same_boot,
                "file system gave up": rig.gave_up,
                "events": rig.events,
            }
        )
        progress.add(rig.cycles)
    progress.end()
    figures = {
        "cycles": progress.done,
        **{f"on {name}": count for name, count in cycles.items()},
        **total,
    }
    return finish(
        args.out, program="fsync_failure", seconds=progress.seconds, figures=figures, violations=violations
    )


def _one_disk(kind: Kind, cycles: int, seed: int, violations: list[str]) -> Rig:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        tmpfs(Path(folder) / "small", kind.size + _ROOM_BYTES) as small,
        loop_disk(small, kind, allocate=True) as disk,
    ):
        rig = Rig(disk, small / "hog", seed)
        with told(violations):
            while rig.cycles < cycles:
                rig.run_store(min(10, cycles - rig.cycles))
        (small / "hog").unlink(missing_ok=True)
        return rig
