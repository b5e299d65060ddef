"""Fails one allocation after the other in open, append, checkpoint and reads, each in a process of its own.

python tests/soak/run.py memory --step 1 --out memory.json
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bytekit import nomemory
from soakkit import Progress, finish

SIZES = {"small": ("--step", "50"), "full": ("--step", "1")}

NOT_HERE = 77


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="memory", description=__doc__)
    parser.add_argument("--step", type=int, default=50, help="fail every n-th allocation")
    parser.add_argument("--only", nargs="+", choices=tuple(nomemory.CALLS), default=tuple(nomemory.CALLS))
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("_testcapi") is None:
        print("SKIPPED: this CPython has no _testcapi, which fails allocations", file=sys.stderr)
        return NOT_HERE
    progress = Progress(len(args.only), "calls")
    figures: dict[str, object] = {}
    totals: collections.Counter[str] = collections.Counter()
    violations: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tidal-memory-") as folder:
        nomemory.make_store(Path(folder) / "whole")
        for name in args.only:
            progress.note(name)
            outcome = nomemory.sweep(name, Path(folder), args.step)
            figures[f"allocations failed in {name}"] = outcome.tried
            totals += outcome.outcomes
            violations += outcome.problems
            progress.add()
    progress.end()
    figures |= totals
    return finish(
        args.out, program="memory", seconds=progress.seconds, figures=figures, violations=violations
    )


if __name__ == "__main__":
    raise SystemExit(main())
