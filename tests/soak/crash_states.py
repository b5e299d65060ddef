"""Opens what power cuts leave of a store, state by state, and hunts every mutant of the protocol.

python tests/soak/run.py crash_states --states 1000000 --seed 1 --out crash_states.json
python tests/soak/run.py crash_states --mutants --states 0
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from typing import Any

from crashkit.explore import Budget, Explored, Explorer
from crashkit.hunting import Verdict, verdict
from crashkit.mutants import MUTANTS
from crashkit.workloads import WORKLOADS
from soakkit import Progress, finish

from tidal.testing.disk.inline import inline_keeper

SIZES = {"small": ("--states", "20000"), "full": ("--states", "1000000", "--workers", "2", "--mutants")}

# Looked at in turns: each round asks for more states at each operation than the one before.
_PER_OP = (64, 256, 1024, 4096, 16384)
_NESTED_SHARE = 0.1
_NESTED_PER_OP = 8

_seen: Any = None  # in a worker: how many states all of them have seen


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="crash_states", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000, help="how many different ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--mutants", action="store_true", help="hunt every mutant, too")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the workloads")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    progress = Progress(args.states, "states")
    explored: list[Explored] = []
    if args.states:
        explored = _spread(args.workloads, args.states, args.seed, args.workers, progress)
    progress.end()
    with inline_keeper():
        verdicts = list(_hunt()) if args.mutants else []
    depths: Counter[int] = sum((it.by_depth for it in explored), Counter())
    figures = {
        "unique_states": depths.total(),
        "nested_states": depths[2] + depths[3],
        "nested_twice": depths[3],
        "looked_at": sum(it.looked for it in explored),
        "by_workload": dict(_by_workload(explored)),
        "mutants": len(verdicts),
        "mutants_caught": sum(it.caught is not None for it in verdicts),
        "mutant_table": [it._asdict() for it in verdicts],
        "seed": args.seed,
    }
    violations = [problem for it in explored for problem in it.problems]
    violations += [f"the mutant {it.name!r} survived" for it in verdicts if it.caught is None]
    return finish(
        args.out, program="crash_states", seconds=progress.seconds, figures=figures, violations=violations
    )


def _spread(names: Sequence[str], states: int, seed: int, workers: int, progress: Progress) -> list[Explored]:
    """Explore the workloads in some processes; each image is of one workload, so none counts twice."""
    spawn = multiprocessing.get_context("spawn")
    seen = spawn.Value("q", 0)
    with ProcessPoolExecutor(workers, spawn, _count_in, (seen,)) as pool:
        share = math.ceil(states / workers)
        parts = [pool.submit(_explore, names[i::workers], share, seed) for i in range(workers)]
        while wait(parts, timeout=1.0).not_done:
            progress.add(seen.value - progress.done)
        progress.add(seen.value - progress.done)
        return [it for part in parts for it in part.result()]


def _count_in(seen: Any) -> None:
    global _seen
    _seen = seen


def _explore(names: Sequence[str], states: int, seed: int) -> list[Explored]:
    """Walk over workloads in rounds until there are so many states.

    Each explorer forgets nothing between its rounds, so that no image counts twice.
    """
    with inline_keeper():
        explorers = []
        for name in names:
            bench = WORKLOADS[name]()
            bench.kill()
            explorers.append(Explorer(name, bench, Budget(nested_share=_NESTED_SHARE), seed))
        steps = (
            explorer.steps_within(Budget(per_op, _NESTED_SHARE, _NESTED_PER_OP))
            for per_op in _PER_OP
            for explorer in explorers
        )
        for _ in itertools.islice(itertools.chain.from_iterable(steps), states):
            with _seen.get_lock():
                _seen.value += 1
        return [explorer.result for explorer in explorers]


def _by_workload(explored: Sequence[Explored]) -> Iterator[tuple[str, int]]:
    return ((it.name, it.unique) for it in explored)


def _hunt() -> Iterator[Verdict]:
    progress = Progress(len(MUTANTS), "mutants")
    for mutant in MUTANTS:
        progress.note(mutant.name)
        yield verdict(mutant)
        progress.add()
    progress.end()


if __name__ == "__main__":
    raise SystemExit(main())
