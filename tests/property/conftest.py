"""Ledgers to be held to the twin: each test runs with one shard and with four."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from tidal.ledger import SignalLedger
from tidal.schema import EventBatch, Schema

if TYPE_CHECKING:
    LedgerOf = Callable[[Schema, Iterable[EventBatch]], SignalLedger]


@pytest.fixture(scope="session", params=(1, 4), ids=("1-shard", "4-shards"))
def ledger_of(request: pytest.FixtureRequest) -> LedgerOf:
    """Return a function that makes a ledger and applies batches to it."""
    shards: int = request.param

    def make(schema: Schema, batches: Iterable[EventBatch] = ()) -> SignalLedger:
        ledger = SignalLedger(schema, shards=shards)
        for batch in batches:
            ledger.apply(batch)
        return ledger

    return make
