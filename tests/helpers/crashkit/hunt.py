"""The harnesses by name, each a search for one problem: what a mutant of the code must not survive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from crashkit import broken, tamper
from crashkit.explore import Budget, Explorer
from crashkit.patching import no_nonsense
from crashkit.workloads import WORKLOADS


class Caught(NamedTuple):
    """What a search came to. ``states``: stores that were opened on the way, or stories that were run."""

    problem: str | None
    states: int


Step = tuple[str | None, int]


def _crash(name: str) -> Iterator[Step]:
    bench = WORKLOADS[name]()
    bench.kill()
    budget = Budget(per_op=48, nested_share=0.03, nested_per_op=6)
    result = Explorer(name, bench, budget).run()
    yield (result.problems[0] if result.problems else None), result.unique


def _broken(kind: str, *, keeps_cache: bool = False) -> Callable[[str], Iterator[Step]]:
    def search(place: str) -> Iterator[Step]:
        name, _, first = place.partition("@")
        for failure in broken.failures(kind, int(first or 1)):
            budget = Budget(per_op=2, nested_share=0.0)  # all or nothing of what is not synced
            seen = broken.live_with(name, WORKLOADS[name], failure, keeps_cache=keeps_cache, budget=budget)
            yield seen.problem, seen.states
            if not seen.struck:
                return

    return search


def _tamper(name: str) -> Iterator[Step]:
    for case in tamper.cases(name, WORKLOADS[name]):
        for damage in tamper.damages(case, stride=11):
            yield tamper.wrong(damage, case), 1


def _alone(name: str) -> Iterator[Step]:
    bench = WORKLOADS[name]()
    identity = bench.db._disk.identity
    bench.close()
    for problem in tamper.standing_alone(bench.disk.image(), identity):
        yield problem, 1


def _unreadable(name: str) -> Iterator[Step]:
    for case in tamper.cases(name, WORKLOADS[name]):
        sent = case.bench.sent
        for seen in broken.unreadable(case.name, case.image, sent.digest, len(sent.events)):
            yield seen.problem, seen.states


HARNESSES: dict[str, Callable[[str], Iterator[Step]]] = {
    "alone": _alone,
    "crash": _crash,
    "eio": _broken("eio"),
    "eio-cached": _broken("eio", keeps_cache=True),
    "enospc": _broken("enospc"),
    "garbled": _broken("garbled"),
    "interrupted": _broken("interrupted"),
    "tamper": _tamper,
    "unreadable": _unreadable,
}


def hunt(harness: str, workload: str) -> Caught:
    """Search with one harness in one workload, up to the first problem.

    ``workload`` may end in ``@n``: the harnesses of bad disks then begin with the n-th call.
    """
    states = 0
    try:
        for problem, opened in HARNESSES[harness](workload):
            states += opened
            if problem is not None:
                return Caught(problem, states)
    except Exception as error:  # of the workload, before it was done anything to
        no_nonsense(error)
        return Caught(f"{workload}: {type(error).__name__}: {error}", states + 1)
    return Caught(None, states)
