"""Damages logs as disks do, a sector or a run of them at a time, and shows that the real scan notices each.

python tests/soak/run.py sectors --faults 1000000 --workers 2 --out sectors.json
"""

from __future__ import annotations

import argparse
import collections
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bytekit import sectors
from bytekit.parallel import spread
from soakkit import Progress, finish

SIZES = {"small": ("--faults", "20000"), "full": ("--faults", "1000000", "--workers", "2")}

_FAULTS_PER_TASK = 1000


class Task(NamedTuple):
    seed: str
    faults: int


class Judged(NamedTuple):
    """What one task found."""

    kinds: collections.Counter[str]
    said: collections.Counter[str]
    violations: list[str]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sectors", description=__doc__)
    parser.add_argument("--faults", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    progress = Progress(args.faults, "faults")
    kinds: collections.Counter[str] = collections.Counter()
    said: collections.Counter[str] = collections.Counter()
    violations: list[str] = []
    for judged in spread(judge, _tasks(args.faults, args.seed), args.workers):
        progress.add(judged.kinds.total())
        kinds += judged.kinds
        said += judged.said
        violations += judged.violations
    progress.end()
    figures = {
        "faults": kinds.total(),
        **kinds,
        **{f"said {what}": count for what, count in said.items()},
        "misread or unnoticed": len(violations),
        "faults/s": round(kinds.total() / progress.seconds),
        "workers": args.workers,
        "seed": args.seed,
    }
    return finish(
        args.out, program="sectors", seconds=progress.seconds, figures=figures, violations=violations
    )


def _tasks(faults: int, seed: int) -> Iterator[Task]:
    for start in range(0, faults, _FAULTS_PER_TASK):
        yield Task(f"{seed}/{start}", min(_FAULTS_PER_TASK, faults - start))


def judge(task: Task) -> Judged:
    """Make the disk of a task, put one fault after the other into it, and return what the scan said."""
    rng = random.Random(task.seed)
    disk = sectors.make_disk(rng, closed=rng.random() < 0.5)
    kinds: collections.Counter[str] = collections.Counter()
    said: collections.Counter[str] = collections.Counter()
    violations = []
    for _ in range(task.faults):
        fault = sectors.make_fault(rng, disk)
        kinds[fault.kind] += 1
        what, problem = sectors.judge(fault, disk)
        said[what] += 1
        if problem is not None:
            violations.append(f"seed {task.seed}: {problem}")
    return Judged(kinds, said, violations)


if __name__ == "__main__":
    raise SystemExit(main())
