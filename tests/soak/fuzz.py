"""Gives every decoder inputs that no encoder wrote, under right hashes, and noise; no two of them the same.

Most are made in bulk; one in a thousand is made by hand, as it were, with its memory counted or on a whole
folder, and those of Arrow's C structs all are.

python tests/soak/run.py fuzz --inputs 1000000000 --workers 2 --out fuzz.json
"""

from __future__ import annotations

import argparse
import collections
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from bytekit.bulk import KEY_PARTS, fuzz_in_bulk
from bytekit.bulk_all import BULK
from bytekit.fuzzing import ALL, fuzz
from bytekit.parallel import spread
from numpy.typing import NDArray
from soakkit import Progress, finish

SIZES = {"small": ("--inputs", "2000000"), "full": ("--inputs", "1000000000", "--workers", "2")}

_ROUND = sum(target.share for target in BULK.values())
_PARTS = 100  # tasks of a round for each decoder: some seconds each
_BY_HAND = 100  # inputs of a task of each decoder that is not made in bulk


class Task(NamedTuple):
    name: str
    seed: int
    number: int
    inputs: int
    bulk: bool


class Done(NamedTuple):
    name: str
    figures: collections.Counter[str]
    peak: int
    keys: NDArray[np.int64]  # of a part of the inputs: what is the same in them, is as often so in all
    problems: list[str]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    os.environ.setdefault("PYTHONHASHSEED", "0")  # so that all workers give the same input the same key
    progress = Progress(args.inputs, "inputs")
    totals: collections.Counter[str] = collections.Counter()
    keys: dict[str, list[NDArray[np.int64]]] = collections.defaultdict(list)
    peak, violations = 0, []
    for done in spread(_run, _tasks(args.inputs, args.seed), args.workers):
        progress.add(done.figures["inputs"])
        totals += done.figures
        keys[done.name].append(done.keys)
        peak = max(peak, done.peak)
        violations += done.problems
    progress.end()
    kept = sum(len(part) for parts in keys.values() for part in parts)
    different = sum(len(np.unique(np.concatenate(parts))) for parts in keys.values())
    figures = {
        **totals,
        f"of every {KEY_PARTS}th input, percent that are like no other": round(
            100 * different / max(kept, 1), 2
        ),
        "largest memory of a measured input, bytes": peak,
        "inputs/s": round(progress.done / progress.seconds),
        "workers": args.workers,
        "seed": args.seed,
    }
    return finish(args.out, program="fuzz", seconds=progress.seconds, figures=figures, violations=violations)


def _tasks(inputs: int, seed: int) -> Iterator[Task]:
    left = inputs
    for number in itertools.count():
        for name, target in BULK.items():
            yield Task(name, seed, number, target.share // _PARTS, True)
        if number % 10 == 0:  # measured and not, by turns
            yield from (Task(name, seed, number, _BY_HAND, False) for name in ALL)
        left -= _ROUND // _PARTS
        if left <= 0:
            return


def _run(task: Task) -> Done:
    name, seed, number, inputs, bulk = task
    if not bulk:
        made = fuzz(name, ALL[name], f"{seed}/{number}", inputs, measured=number % 20 == 0)
        figures = {name: made.inputs, "accepted": made.accepted, "refused by a field": made.refused}
        return Done(name, _counter(figures, made.inputs), made.peak, np.zeros(0, np.int64), made.problems)
    outcome = fuzz_in_bulk(name, BULK[name], (seed, number), inputs)
    figures = {
        name: outcome.inputs,
        "accepted": outcome.accepted,
        "refused by a field": outcome.refused_by_field,
        "refused by a hash": outcome.refused_by_hash,
    }
    return Done(name, _counter(figures, outcome.inputs), 0, outcome.some_keys(), outcome.problems)


def _counter(figures: dict[str, int], inputs: int) -> collections.Counter[str]:
    return collections.Counter({"inputs": inputs, **figures})


if __name__ == "__main__":
    raise SystemExit(main())
