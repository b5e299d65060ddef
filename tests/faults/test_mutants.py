"""The harnesses can see: each step of the protocol that is taken out is missed by one of them.

The rest of the mutants is hunted by ``make soak``; here are those that are caught quickly.
"""

from __future__ import annotations

import importlib
import inspect

import pytest
from crashkit.hunting import verdict
from crashkit.mutants import MUTANTS, Mutant
from crashkit.patching import StaleMutant, replaced

from tidal.testing.disk.inline import inline_keeper

_QUICK = {"crash:singles", "crash:rolling", "crash:unsynced"}
QUICK = [mutant for mutant in MUTANTS if mutant.searches.split()[0] in _QUICK]


@pytest.mark.parametrize("mutant", QUICK, ids=lambda mutant: mutant.name)
def test_a_step_that_is_taken_out_is_missed(mutant: Mutant) -> None:
    with inline_keeper():
        found = verdict(mutant)
    assert found.caught is not None, f"survived {found.states} states"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_no_mutant_is_stale(mutant: Mutant) -> None:
    source = inspect.getsource(importlib.import_module(mutant.module))
    assert source.count(mutant.old) == 1
    with replaced(mutant.module, mutant.old, mutant.new) as changed:
        assert changed in source


def test_there_are_enough_mutants_and_each_has_its_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60
    assert len(QUICK) >= 20


def test_a_mutant_of_what_is_not_there_fails() -> None:
    with pytest.raises(StaleMutant, match="0 times"), replaced("tidal.durable", "no such line", ""):
        pass


def test_the_code_is_as_it_was_after_a_mutant() -> None:
    from tidal.durable import replace_file

    before = replace_file.__code__
    mutant = MUTANTS[0]
    with replaced(mutant.module, mutant.old, mutant.new):
        assert replace_file.__code__ is not before
    assert replace_file.__code__ is before
