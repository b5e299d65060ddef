"""Power cuts at every step of a store's life: what is left opens, and shows all that was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crashkit.hunt import hunt
from crashkit.workloads import WORKLOADS
from faultkit.soak import run_program

from tidal.testing.disk.inline import inline_keeper

STATES = 100_000  # different ones, over all workloads


def test_every_crash_state_opens_and_shows_what_was_acknowledged(tmp_path: Path) -> None:
    figures = run_program(
        "crash_states", tmp_path / "states.json", "--states", str(STATES), "--workers", "2", seconds=1000
    )
    assert figures["unique_states"] >= STATES
    assert figures["nested_states"] >= STATES // 10, "few crashes in a recovery were tried"
    assert set(figures["by_workload"]) == set(WORKLOADS)
    assert min(figures["by_workload"].values()) > 0


@pytest.fixture
def inline() -> Iterator[None]:
    with inline_keeper():
        yield


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("harness", ["garbled", "interrupted", "unreadable"])
def test_a_store_lives_with_a_bad_disk(harness: str) -> None:
    assert hunt(harness, "in_doubt").problem is None


@pytest.mark.usefixtures("inline")
def test_nothing_that_was_shown_is_lost_after_a_failed_sync() -> None:
    assert hunt("eio", "in_doubt@45").problem is None
    assert hunt("eio-cached", "in_doubt@45").problem is None
