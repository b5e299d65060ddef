"""Damages ends of logs, labelled torn or corrupt by how it was done, and asks the real scan which they are.

python tests/soak/run.py tails --cases 1000000 --workers 2 --out tails.json
"""

from __future__ import annotations

import argparse
import collections
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bytekit.parallel import spread
from bytekit.tails import POLICIES, make_case, make_log, wrong
from soakkit import Progress, finish

SIZES = {"small": ("--cases", "20000"), "full": ("--cases", "1000000", "--workers", "2")}

_CASES_PER_LOG = 50
_LOGS_PER_TASK = 40


class Task(NamedTuple):
    seed: str
    logs: int


class Judged(NamedTuple):
    """What one task found: how many cases of each label, and the distinct damaged files among them."""

    labels: collections.Counter[str]
    distinct: int
    violations: list[str]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tails", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    progress = Progress(args.cases, "cases")
    labels: collections.Counter[str] = collections.Counter()
    distinct, violations = 0, []
    for judged in spread(judge, _tasks(args.cases, args.seed), args.workers):
        progress.add(judged.labels.total())
        labels += judged.labels
        distinct += judged.distinct
        violations += judged.violations
    progress.end()
    figures = {
        "cases": labels.total(),
        "distinct within their log": distinct,
        **labels,
        "misclassified": len(violations),
        "cases/s": round(labels.total() / progress.seconds),
        "workers": args.workers,
        "seed": args.seed,
    }
    return finish(args.out, program="tails", seconds=progress.seconds, figures=figures, violations=violations)


def _tasks(cases: int, seed: int) -> Iterator[Task]:
    logs = -(-cases // _CASES_PER_LOG)
    for start in range(0, logs, _LOGS_PER_TASK):
        yield Task(f"{seed}/{start}", min(_LOGS_PER_TASK, logs - start))


def judge(task: Task) -> Judged:
    """Make the logs of a task, damage each, and return what the scan made of it."""
    rng = random.Random(task.seed)
    labels: collections.Counter[str] = collections.Counter()
    distinct, violations = 0, []
    for number in range(task.logs):
        log = make_log(rng, rng.choice(POLICIES))
        seen = set()
        for _ in range(_CASES_PER_LOG):
            case = make_case(rng, log)
            labels[case.label] += 1
            seen.add(case.data)
            if (problem := wrong(case, log)) is not None:
                violations.append(f"seed {task.seed}, log {number} under {log.policy}: {problem}")
        distinct += len(seen)
    return Judged(labels, distinct, violations)


if __name__ == "__main__":
    raise SystemExit(main())
