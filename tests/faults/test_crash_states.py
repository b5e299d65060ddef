"""Power cuts at every step of a store's life: what is left opens, and shows all that was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crashkit.explore import Budget, Explorer
from crashkit.hunt import hunt
from crashkit.inline import inline_keeper
from crashkit.workloads import WORKLOADS

PER_OP, NESTED_SHARE, NESTED_PER_OP = 48, 0.05, 6
STATES_MIN = 8_000  # different ones, over all workloads


@pytest.fixture(autouse=True)
def _inline() -> Iterator[None]:
    with inline_keeper():
        yield


seen: dict[str, int] = {}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_crash_state_opens_and_shows_what_was_acknowledged(name: str) -> None:
    bench = WORKLOADS[name]()
    bench.kill()
    result = Explorer(name, bench, Budget(PER_OP, NESTED_SHARE, NESTED_PER_OP)).run()
    assert result.problems == []
    assert result.by_depth[2] > 0, "no crash in a recovery was tried"
    seen[name] = result.unique


def test_enough_states_were_seen() -> None:
    if len(seen) < len(WORKLOADS):
        pytest.skip("only some of the workloads were run")
    assert sum(seen.values()) >= STATES_MIN


@pytest.mark.parametrize("harness", ["garbled", "interrupted", "unreadable"])
def test_a_store_lives_with_a_bad_disk(harness: str) -> None:
    assert hunt(harness, "in_doubt").problem is None


def test_nothing_that_was_shown_is_lost_after_a_failed_sync() -> None:
    assert hunt("eio", "in_doubt@45").problem is None
    assert hunt("eio-cached", "in_doubt@45").problem is None
