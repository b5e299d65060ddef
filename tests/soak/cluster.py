"""Simulated clusters, seed after seed: each must end equal to what was acknowledged, and replay exactly.

python tests/soak/run.py cluster --seeds 100000 --workers 2 --out cluster.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from soakkit import Progress, finish

from tidal.testing.cluster import SCENARIOS, simulate

SIZES = {"small": ("--seeds", "2000"), "full": ("--seeds", "100000", "--workers", "2")}

_TOGETHER = 20
_REPLAYED = 50  # one seed in so many is run twice


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many, shared by the scenarios")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    progress = Progress(args.seeds, "seeds")
    violations: list[str] = []
    blocks = [
        (args.scenarios[number % len(args.scenarios)], args.first + _TOGETHER * number)
        for number in range(-(-args.seeds // _TOGETHER))
    ]
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(_run, blocks):
            violations += found
            progress.add(_TOGETHER)
    progress.end()
    figures = {"runs": len(blocks) * _TOGETHER, "first": args.first, "scenarios": args.scenarios}
    return finish(
        args.out, program="cluster", seconds=progress.seconds, figures=figures, violations=violations
    )


def _run(block: tuple[str, int]) -> list[str]:
    logging.disable(logging.ERROR)  # every fault is logged, and there are many
    scenario, first = block
    found = []
    for seed in range(first, first + _TOGETHER):
        outcome = simulate(scenario, seed)
        if outcome.violation is not None:
            found.append(outcome.report())
        if seed % _REPLAYED == 0 and simulate(scenario, seed).digest != outcome.digest:
            found.append(f"{scenario}, seed {seed}: two runs, two digests")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
