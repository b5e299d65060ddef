"""P1 to P4 over 10,000 random sequences of events, one sequence an entity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidal.schema import EventBatch, SchemaBuilder
from tidal.testing import ModelLedger

SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
NOW = 490_000 * HOUR

SEQUENCES = 10_000
EVENTS = 8  # a sequence
IDS = np.arange(SEQUENCES, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
HALF_LIVES = ("7d", "1d", "1h")
SCHEMA = (
    SchemaBuilder().signal("view", half_life=HALF_LIVES, windows=("1h", "24h", "7d"), velocity=True).build()
)

LedgerOf = Callable[..., Any]


@pytest.fixture(scope="module")
def stream() -> EventBatch:
    """Every sequence has its own pace, from seconds to days between events; all end before NOW."""
    rng = np.random.default_rng(6)
    pace = rng.choice([10 * SECOND, 600 * SECOND, HOUR, DAY], (SEQUENCES, 1))
    ages = np.cumsum((rng.exponential(size=(SEQUENCES, EVENTS)) * pace).astype(np.int64), axis=1)
    times = (NOW - ages)[:, ::-1].ravel()
    order = np.argsort(times, kind="stable")
    return batch_of(
        np.repeat(IDS, EVENTS)[order],
        rng.exponential(size=SEQUENCES * EVENTS).astype(np.float32)[order],
        times[order],
    )


@pytest.fixture(scope="module")
def model(stream: EventBatch) -> ModelLedger:
    twin = ModelLedger(SCHEMA)
    twin.apply_batch(stream)
    return twin


def batch_of(ids: NDArray[np.uint64], weights: NDArray[np.float32], times: NDArray[np.int64]) -> EventBatch:
    return EventBatch(ids, np.zeros(len(ids), np.uint8), weights, times)


def shuffled(batch: EventBatch) -> EventBatch:
    order = np.random.default_rng(7).permutation(len(batch))
    return batch_of(batch.entity_id[order], batch.weight[order], batch.timestamp[order])


def running_sums(batch: EventBatch, half_life: int, at: int) -> dict[int, float]:
    """Return the scores at ``at`` by the textbook: S = S exp(-k dt) + w, a late weight decayed first."""
    k = math.log(2) / half_life
    sums: dict[int, tuple[float, int]] = {}
    for entity_id, weight, time in zip(
        batch.entity_id.tolist(), batch.weight.tolist(), batch.timestamp.tolist(), strict=True
    ):
        value, last = sums.get(entity_id, (0.0, time))
        if time >= last:
            sums[entity_id] = (value * math.exp(-k * (time - last)) + weight, time)
        else:
            sums[entity_id] = (value + weight * math.exp(-k * (last - time)), last)
    return {entity_id: value * math.exp(-k * (at - last)) for entity_id, (value, last) in sums.items()}


@pytest.mark.parametrize("half_life", HALF_LIVES)
def test_p1_an_idle_score_never_rises_and_is_never_negative(
    ledger_of: LedgerOf, stream: EventBatch, half_life: str
) -> None:
    ledger = ledger_of(SCHEMA, [stream])
    before = ledger.scores("view", IDS, at=NOW, half_life=half_life)
    assert np.all(before >= 0.0)
    for age in (1, SECOND, 2 * SECOND, 60 * SECOND, HOUR, HOUR + 1, DAY, 7 * DAY, 30 * DAY, 10_000 * DAY):
        after = ledger.scores("view", IDS, at=NOW + age, half_life=half_life)
        assert np.all(after >= 0.0)
        assert np.all(after <= before)
        before = after


@pytest.mark.parametrize("arrival", ["in-order", "shuffled"])
@pytest.mark.parametrize("half_life", HALF_LIVES)
def test_p2_scores_equal_brute_force_and_the_running_form(
    ledger_of: LedgerOf, stream: EventBatch, model: ModelLedger, half_life: str, arrival: str
) -> None:
    given = stream if arrival == "in-order" else shuffled(stream)
    ledger = ledger_of(SCHEMA, [given])
    position = HALF_LIVES.index(half_life)
    running = running_sums(given, SCHEMA.signal("view").half_lives[position], NOW)
    scores = ledger.scores("view", IDS, at=NOW, half_life=half_life)
    for entity_id, score in zip(IDS.tolist(), scores.tolist(), strict=True):
        brute = model.score("view", entity_id, NOW, half_life)
        assert math.isclose(score, brute, rel_tol=1e-9, abs_tol=1e-290)
        assert abs(score - brute) < 1e-6
        assert math.isclose(score, running[entity_id], rel_tol=1e-9, abs_tol=1e-290)


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "all"])
def test_p3_window_counts_are_exact(
    ledger_of: LedgerOf, stream: EventBatch, model: ModelLedger, window: str
) -> None:
    ledger = ledger_of(SCHEMA, [stream])
    for at in (NOW, NOW + 1800 * SECOND, NOW + 23 * HOUR, NOW + 6 * DAY):
        counts = ledger.counts("view", IDS, window, at=at).tolist()
        assert counts == [model.count("view", entity_id, window, at) for entity_id in IDS.tolist()]


def test_p4_late_events_commute(ledger_of: LedgerOf, stream: EventBatch) -> None:
    in_order, mixed = ledger_of(SCHEMA, [stream]), ledger_of(SCHEMA, [shuffled(stream)])
    for half_life in HALF_LIVES:
        np.testing.assert_allclose(
            mixed.scores("view", IDS, at=NOW, half_life=half_life),
            in_order.scores("view", IDS, at=NOW, half_life=half_life),
            rtol=1e-9,
            atol=1e-290,
        )
    for window in ("1h", "24h", "7d", "all"):
        assert np.array_equal(
            mixed.counts("view", IDS, window, at=NOW), in_order.counts("view", IDS, window, at=NOW)
        )
