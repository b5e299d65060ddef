"""The n-th call sweep: every call of every workload fails, in every way, once and from then on."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from faultkit.sweep import KINDS, WORKLOADS, Sweep
from soakkit import Progress, finish

POLICIES = ("group", "interval:2ms", "os")
SIZES = {"small": ["--step", "40"], "full": ["--step", "1", "--workers", "2"]}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="io_errors", description=__doc__)
    parser.add_argument("--step", type=int, default=40, help="1: every call; 40: every fortieth")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    places, known = Counter[str](), set[str]()
    errors: Counter[str] = Counter()
    violations: list[str] = []
    parts = [
        Part(name, sync, code, short, sticky, args.step)
        for name in WORKLOADS
        for sync in POLICIES
        for code, short in KINDS
        for sticky in (False, True)
    ]
    calls = {name: Sweep(*WORKLOADS[name]).calls() for name in WORKLOADS}
    expected = sum(calls[part.workload] for part in parts) // args.step
    progress = Progress(expected, "injections")
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        for found in pool.map(_sweep, parts):
            places += found.places
            known |= found.places.keys()
            errors += found.errors
            violations += found.violations
            progress.note(f"{len(violations)} violations")
            progress.add(found.injections)
    progress.end()
    figures = {
        "injections": progress.done,
        "places hit": len(places),
        "of places": len(known),
        "policies": len(POLICIES),
        "workloads": len(WORKLOADS),
        **{f"{name} raised": count for name, count in sorted(errors.items())},
    }
    return finish(
        args.out, program="io_errors", seconds=progress.seconds, figures=figures, violations=violations
    )


class Part(NamedTuple):
    """One workload under one kind of fault, which strikes each call in turn."""

    workload: str
    sync: str
    code: int
    short: bool
    sticky: bool
    step: int


class Found(NamedTuple):
    injections: int
    places: Counter[str]
    errors: Counter[str]
    violations: list[str]


def _sweep(part: Part) -> Found:
    logging.disable(logging.CRITICAL)
    sweep = Sweep(*WORKLOADS[part.workload], sync=part.sync)
    sweep.calls()
    for _ in sweep.run(kinds=((part.code, part.short),), sticky=(part.sticky,), step=part.step):
        pass
    places = Counter({f"{part.workload}: {site}": sweep.sites_hit[site] for site in sweep.sites})
    return Found(sweep.injections, places, sweep.errors, sweep.violations)
