"""One mutant against its searches."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from crashkit.hunt import hunt
from crashkit.mutants import Mutant
from crashkit.patching import replaced


class Verdict(NamedTuple):
    """What came of a mutant: the search that caught it, what that saw, and how much it looked at."""

    name: str
    caught: str | None
    saw: str
    states: int


def verdict(mutant: Mutant) -> Verdict:
    """Run the mutant's searches in turn, until one catches it.

    RuntimeError if a search sees a problem without the mutant: then it would seem to catch every one.
    """
    states = 0
    for search in mutant.searches.split():
        _check_quiet(search)
    with replaced(mutant.module, mutant.old, mutant.new):
        for search in mutant.searches.split():
            harness, workload = search.split(":")
            found = hunt(harness, workload)
            states += found.states
            if found.problem is not None:
                return Verdict(mutant.name, search, found.problem, states)
    return Verdict(mutant.name, None, "", states)


@cache
def _check_quiet(search: str) -> None:
    harness, workload = search.split(":")
    if (problem := hunt(harness, workload).problem) is not None:
        raise RuntimeError(f"{search} sees a problem in the code as it is: {problem}")
