"""Gives every decoder inputs that no encoder wrote, under right hashes, and noise; some runs count memory.

python tests/soak/run.py fuzz --inputs 5000000 --workers 2 --out fuzz.json
"""

from __future__ import annotations

import argparse
import collections
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bytekit.fuzzing import ALL, Outcome, fuzz
from bytekit.parallel import spread
from soakkit import Progress, finish

SIZES = {"small": ("--inputs", "50000"), "full": ("--inputs", "5000000", "--workers", "2")}

_INPUTS_PER_TASK = 1000
_MEASURED_EVERY = 20


class Task(NamedTuple):
    name: str
    seed: str
    measured: bool


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--only", nargs="+", choices=tuple(ALL), default=tuple(ALL))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    progress = Progress(args.inputs, "inputs")
    totals: collections.Counter[str] = collections.Counter()
    peak, violations = 0, []
    for name, outcome in spread(_run, _tasks(args.inputs, args.seed, args.only), args.workers):
        progress.add(outcome.inputs)
        totals += collections.Counter(
            {name: outcome.inputs, "accepted": outcome.accepted, "refused": outcome.refused}
        )
        peak = max(peak, outcome.peak)
        violations += outcome.problems
    progress.end()
    figures = {
        "inputs": progress.done,
        **totals,
        "largest memory of a measured input, bytes": peak,
        "inputs/s": round(progress.done / progress.seconds),
        "workers": args.workers,
        "seed": args.seed,
    }
    return finish(args.out, program="fuzz", seconds=progress.seconds, figures=figures, violations=violations)


def _tasks(inputs: int, seed: int, names: Sequence[str]) -> Iterator[Task]:
    turns = itertools.cycle(names)
    for number in range(-(-inputs // _INPUTS_PER_TASK)):
        # Counted by rounds, so that each decoder has its turn to be measured.
        measured = number // len(names) % _MEASURED_EVERY == 0
        yield Task(next(turns), f"{seed}/{number}", measured)


def _run(task: Task) -> tuple[str, Outcome]:
    return task.name, fuzz(task.name, ALL[task.name], task.seed, _INPUTS_PER_TASK, measured=task.measured)


if __name__ == "__main__":
    raise SystemExit(main())
