"""Opens what power cuts leave of a store, state by state, and hunts every mutant of the protocol.

python tests/soak/run.py crash_states --states 1000000 --seed 1 --out crash_states.json
python tests/soak/run.py crash_states --mutants --states 0
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from crashkit.explore import Budget, Explored, Explorer
from crashkit.hunting import Verdict, verdict
from crashkit.inline import inline_keeper
from crashkit.mutants import MUTANTS
from crashkit.workloads import WORKLOADS
from soakkit import Progress, finish

SIZES = {"small": ("--states", "20000"), "full": ("--states", "1000000", "--mutants")}

# Looked at in turns: each round asks for more states at each operation than the one before.
_PER_OP = (64, 256, 1024, 4096, 16384)
_NESTED_SHARE = 0.1
_NESTED_PER_OP = 8


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="crash_states", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000, help="how many different ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--mutants", action="store_true", help="hunt every mutant, too")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    with inline_keeper():
        progress = Progress(args.states, "states")
        explored = list(_explore(args.workloads, args.states, args.seed, progress)) if args.states else []
        progress.end()
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
        "cpu_seconds": round(time.process_time(), 1),
    }
    violations = [problem for it in explored for problem in it.problems]
    violations += [f"the mutant {it.name!r} survived" for it in verdicts if it.caught is None]
    return finish(
        args.out, program="crash_states", seconds=progress.seconds, figures=figures, violations=violations
    )


def _explore(names: Sequence[str], states: int, seed: int, progress: Progress) -> Iterator[Explored]:
    """Walk over the workloads in rounds until there are so many states.

    Each explorer forgets nothing between its rounds, so that no image counts twice.
    """
    explorers = {}
    for name in names:
        bench = WORKLOADS[name]()
        bench.kill()
        explorers[name] = Explorer(name, bench, Budget(nested_share=_NESTED_SHARE), seed)
    try:
        for per_op in _PER_OP:
            for name, explorer in explorers.items():
                progress.note(f"{name}, {per_op} an operation")
                explorer.budget = Budget(per_op, _NESTED_SHARE, _NESTED_PER_OP)
                for _ in explorer.steps():
                    progress.add()
                    if progress.done >= states:
                        return
    finally:
        yield from (explorer.result for explorer in explorers.values())


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
