"""kill -9 at random moments and in chosen calls: nothing acknowledged is lost, nothing is invented."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from faultkit.killer import Killer
from soakkit import Progress, finish

SIZES = {"small": ["--cycles", "2000"], "full": ["--cycles", "100000", "--workers", "2"]}

_CYCLES_OF_A_ROUND = 144  # three times four stores through twelve cycles


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="kill", description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that kill, each with its own stores"
    )
    parser.add_argument(
        "--folder", help="where the stores lie; /dev/shm if it is there, as a kill needs no disk"
    )
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    place = args.folder or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    folder = Path(tempfile.mkdtemp(prefix="tidal-kill-", dir=place))
    progress, total = Progress(args.cycles, "cycles"), Counter[str]()
    kinds: set[str] = set()
    violations: list[str] = []
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        rounds = range(0, args.cycles, _CYCLES_OF_A_ROUND)
        seeds = [args.seed * 1_000_003 + begin for begin in rounds]
        for found in pool.map(_round, [folder] * len(rounds), seeds):
            total += found.figures
            kinds |= found.kinds
            violations += found.violations
            progress.note(f"{total['kills in recovery']:,} in recovery, {len(violations)} violations")
            progress.add(found.figures["cycles"])
    progress.end()
    if not violations:
        shutil.rmtree(folder)
    figures = {**total, "kinds of death": len(kinds)}
    return finish(args.out, program="kill", seconds=progress.seconds, figures=figures, violations=violations)


class Round(NamedTuple):
    figures: Counter[str]
    kinds: set[str]
    violations: list[str]


def _round(folder: Path, seed: int) -> Round:
    """A few stores, in a worker that has no thread of its own to be forked with."""
    own = folder / str(seed)
    own.mkdir()
    killer = Killer(own, seed)
    while killer.cycles < _CYCLES_OF_A_ROUND:
        killer.run_stores()
    return Round(killer.figures, set(killer.deaths), killer.violations)
