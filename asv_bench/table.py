"""Measure the goals of docs/performance.md in one run, print the table, and write it into that page.

python asv_bench/table.py                  ten minutes at most; writes the page
python asv_bench/table.py --only P1 P4     these goals only; prints
python asv_bench/table.py --quick          a tenth of the data; prints
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from goals import calls, export, growth, imports, ingest, memory, pauses, replay, stores, threads
from goals.bench import Bench
from goals.machine import Pace, machine
from goals.row import Row, table

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN: Final = "<!-- table.py writes from here -->"
END: Final = "<!-- to here -->"

EVENTS: Final = 10_000_000
ENTITIES: Final = 1_000_000
PASSES: Final = 5
QUICK: Final = 10  # times less data

GOALS: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "P1": ingest.in_memory,
    "P2": ingest.durable,
    "P3": replay.archives,
    "P4": calls.single,
    "P5": calls.top,
    "P6": memory.resident,
    "P7": stores.reopen,
    "P8": pauses.under_load,
    "P9": threads.two,
    "P10": export.to_files,
    "P11": imports.beyond_numpy,
    "P12": growth.entities,
}


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS), metavar="GOAL")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; else the system's temporary one")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="tidal-bench-", dir=options.folder) as folder:
        bench = Bench(Path(folder), events=EVENTS // size, entities=ENTITIES // size, passes=PASSES)
        rows: list[Row] = []
        pace = Pace()
        for goal in options.only:
            pace.sample()
            print(f"measuring {goal} ...", end=" ", file=sys.stderr, flush=True)
            start = time.perf_counter()
            rows += GOALS[goal](bench)
            print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
        pace.sample()
        report = "\n".join([*_circumstances(bench, pace), "", table(rows)])
    print(report)
    if options.quick or options.only != list(GOALS):
        print(f"{PAGE.name} is left as it is: this was not the whole measurement", file=sys.stderr)
        return 0
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 0


def _circumstances(bench: Bench, pace: Pace) -> list[str]:
    today = datetime.datetime.now(datetime.UTC).date()
    return [
        f"Measured {today}: {bench.events:,} events, {bench.entities:,} entities, "
        f"medians of {bench.passes} passes taken in turns.",
        "",
        *(f"- {line}" for line in [*machine(bench.folder), pace.line()]),
    ]


def replaced(page: str, report: str, mark: str = BEGIN) -> str:
    """Return the page with what stands between a mark and END replaced; ValueError where they are missing."""
    before, begin, rest = page.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {mark!r} and {END!r}, between which the table goes")
    return f"{before}{begin}\n\n{report}\n\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
