"""The check fails for a slightly wrong engine: here the twin is given other events than the ledger."""

from __future__ import annotations

import pytest

from tidal.ledger import SignalLedger
from tidal.schema import SchemaBuilder
from tidal.testing import Event, ModelLedger, assert_agrees
from tidal.testing.strategies import to_batch

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
SCHEMA = SchemaBuilder().signal("view", half_life=("1h", "7d"), windows=("1h", "24h"), velocity=True).build()
EVENTS = [Event("view", 1, 1.0, 0), Event("view", 2, 3.0, 30 * MINUTE), Event("view", 1, 2.0, HOUR)]


def ledger() -> SignalLedger:
    ledger = SignalLedger(SCHEMA)
    ledger.apply(to_batch(SCHEMA, EVENTS))
    return ledger


@pytest.mark.parametrize("at", [-HOUR, 0, HOUR, HOUR + 1, 3 * HOUR, 30 * HOUR])
def test_the_same_events_agree(at: int) -> None:
    assert_agrees(ledger(), ModelLedger(SCHEMA, EVENTS), at)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([*EVENTS, Event("view", 1, 0.0, HOUR)], "count"),
        ([*EVENTS, Event("view", 1, 0.0, HOUR + 1)], "clock of view"),
        ([EVENTS[0], EVENTS[1]._replace(weight=3.000001), EVENTS[2]], "score of 2"),
        ([EVENTS[0], EVENTS[1]._replace(timestamp=30 * MINUTE + 100_000), EVENTS[2]], "score of 2"),
        ([EVENTS[0], EVENTS[1]._replace(entity_id=3), EVENTS[2]], "score of 3"),
        (EVENTS[1:], "score of 1"),
        ([], "clock of view"),
    ],
    ids=["one-more", "later", "weight", "time", "entity", "one-less", "none"],
)
def test_other_events_do_not(others: list[Event], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        assert_agrees(ledger(), ModelLedger(SCHEMA, others), HOUR)


def test_an_entity_that_the_twin_has_not_is_found_by_its_absence() -> None:
    without = [event for event in EVENTS if event.entity_id != 2]
    with pytest.raises(AssertionError, match="score of 2"):
        assert_agrees(ledger(), ModelLedger(SCHEMA, without), HOUR, absent=(2,))
    with pytest.raises(AssertionError, match="top by"):
        assert_agrees(ledger(), ModelLedger(SCHEMA, without), HOUR)
