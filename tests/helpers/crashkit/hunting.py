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

    RuntimeError if the search sees a problem without the mutant, too: it would seem to catch every one.
    """
    with replaced(mutant.module, mutant.old, mutant.new):
        found = _hunt(mutant)
    if found.caught is not None:
        _check_quiet(found.caught)
    return found


def _hunt(mutant: Mutant) -> Verdict:
    states = 0
    for search in mutant.searches.split():
        problem, looked = hunt(*search.split(":"))
        states += looked
        if problem is not None:
            return Verdict(mutant.name, search, problem, states)
    return Verdict(mutant.name, None, "", states)


@cache
def _check_quiet(search: str) -> None:
    if (problem := hunt(*search.split(":")).problem) is not None:
        raise RuntimeError(f"{search} sees a problem in the code as it is: {problem}")
