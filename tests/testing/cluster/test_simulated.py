"""Simulated clusters, a thousand seeds: whatever is lost, torn or cut, all ends as it was acknowledged.

tests/soak/cluster.py runs as many seeds as it is told.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from clusterkit.mutants import MUTANTS, Mutant, hunt

from tidal.testing.cluster import SCENARIOS, simulate

SEEDS = 500  # of each scenario
_TOGETHER = 25
_HUNTED = 200  # seeds; each bug is seen within far fewer


@pytest.mark.parametrize("first", range(0, SEEDS, _TOGETHER))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_ends_equal_to_what_was_acknowledged(scenario: str, first: int) -> None:
    for seed in range(first, first + _TOGETHER):
        outcome = simulate(scenario, seed)
        assert outcome.violation is None, outcome.report()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_seed_replays_exactly_in_another_process_too(scenario: str) -> None:
    seeds = (3, 14, 15)
    code = (
        "from tidal.testing.cluster import simulate\n"
        f"print(*(simulate({scenario!r}, seed).digest for seed in {seeds}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [simulate(scenario, seed).digest for seed in seeds]
    assert len({simulate(scenario, seed).digest for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda it: it.name)
def test_a_planted_bug_is_seen(mutant: Mutant) -> None:
    assert hunt(mutant, range(_HUNTED)) is not None


def test_a_report_names_the_seed_the_fault_and_what_came_before() -> None:
    mutant = MUTANTS[0]
    with mutant.plant():
        seed = hunt(mutant, range(_HUNTED))
        assert seed is not None
        report = simulate(mutant.scenario, seed).report()
    assert report.startswith(f'tidal.testing.cluster.simulate("{mutant.scenario}", seed={seed}): Violation: ')
    assert "VIOLATION: " in report and " opens with " in report
