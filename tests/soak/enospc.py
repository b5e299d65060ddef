"""A small disk is filled and freed, over and over: service resumes with no manual step. Needs root."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faultkit.enospc import Filler
from faultkit.mounts import tmpfs, why_not
from soakkit import NOT_HERE, Progress, finish, told

SIZES = {"small": ["--cycles", "100"], "full": ["--cycles", "5000"]}

_DISK_BYTES, _INODES = 2 << 20, 250


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="enospc", description=__doc__)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    if (reason := why_not()) is not None:
        print(f"enospc: NOT RUN: {reason}", file=sys.stderr)
        return NOT_HERE
    logging.disable(logging.CRITICAL)  # checkpoints in the background say that there is no room
    violations: list[str] = []
    progress = Progress(args.cycles, "cycles")
    with tempfile.TemporaryDirectory() as folder, tmpfs(Path(folder) / "small", _DISK_BYTES, _INODES) as disk:
        filler = Filler(disk, args.seed)
        while filler.cycles < args.cycles and not violations:
            before = filler.cycles
            with told(violations):
                filler.run_store()
            progress.add(filler.cycles - before)
    progress.end()
    figures = {
        "cycles": filler.cycles,
        "refusals": filler.refusals,
        "resumed by itself": filler.resumed,
        "opened again": filler.poisoned,
        "opened at 0 bytes free": filler.opened_full,
        "events": filler.events,
    }
    return finish(
        args.out, program="enospc", seconds=progress.seconds, figures=figures, violations=violations
    )
