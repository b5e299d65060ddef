"""One mutant against its searches."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from crashkit.hunt import hunt
from crashkit.mutants import Mutant
from crashkit.patching import replaced
from crashkit.workloads import WORKLOADS


class Verdict(NamedTuple):
    """What came of a mutant: the search that caught it, what that saw, and how much it looked at."""

    name: str
    caught: str | None
    saw: str
    states: int


def verdict(mutant: Mutant) -> Verdict:
    """Run the mutant's searches in turn, until one catches it."""
    states = 0
    for search in mutant.searches.split():
        _check_sane(search.split(":")[1].partition("@")[0])
    with replaced(mutant.module, mutant.old, mutant.new):
        for search in mutant.searches.split():
            harness, workload = search.split(":")
            found = hunt(harness, workload)
            states += found.states
            if found.problem is not None:
                return Verdict(mutant.name, search, found.problem, states)
    return Verdict(mutant.name, None, "", states)


@cache
def _check_sane(workload: str) -> None:
    """Raise unless a workload runs through without a mutant: else every mutant would seem to be caught."""
    WORKLOADS[workload]().kill()
