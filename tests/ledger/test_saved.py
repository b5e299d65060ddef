"""Saved state cut into another number of shards, and brought into the order of ids."""

from __future__ import annotations

import numpy as np
import pytest

from tidal.ledger import SignalLedger
from tidal.ledger.saved import in_id_order, reshard
from tidal.schema import EventBatch, SchemaBuilder

SCHEMA = SchemaBuilder().signal("view", half_life="1d", windows=("1h", "24h", "7d")).build()
HOUR = 3600 * 10**9


def ledger(shards: int, n: int = 4000) -> SignalLedger:
    rng = np.random.default_rng(0)
    made = SignalLedger(SCHEMA, shards=shards)
    ids, ages = rng.integers(0, 200, n).astype(np.uint64), rng.integers(0, 200 * HOUR, n)
    made.apply(EventBatch(ids, np.zeros(n, np.uint8), rng.random(n, np.float32), 500_000 * HOUR - ages))
    return made


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (4, 2), (2, 5), (3, 3)])
def test_answers_do_not_depend_on_the_cut(before: int, after: int) -> None:
    made, again = ledger(before), SignalLedger(SCHEMA, shards=after)
    again.load(*made.save())
    assert len(again.table("view")) == len(made.table("view")) == 200
    for by in ("score", "count.1h", "count.24h", "count.7d", "count.all"):
        want, got = (x.top("view", 200, by=by, at=500_001 * HOUR) for x in (made, again))
        assert (got.ids.tolist(), got.values.tolist()) == (want.ids.tolist(), want.values.tolist())
    assert sum(len(s["hour_slot"]) for s in again.table("view").save()) == sum(
        len(s["hour_slot"]) for s in made.table("view").save()
    )


def test_in_the_order_of_ids_it_is_the_same_state() -> None:
    made = ledger(2)
    clock = made.clock("view")
    assert clock is not None
    saved = made.table("view").save()
    ordered = [in_id_order(shard) for shard in saved]
    assert all(bool((np.diff(shard["entity_id"].astype(np.int64)) > 0).all()) for shard in ordered)
    assert any(
        a["entity_id"].tolist() != b["entity_id"].tolist() for a, b in zip(saved, ordered, strict=True)
    )
    again = SignalLedger(SCHEMA, shards=2)
    again.table("view").merge(ordered, clock)
    assert again.state_digest() == made.state_digest()
    for by in ("score", "count.1h", "count.24h", "count.7d", "count.all"):
        want, got = (x.top("view", 200, by=by, at=500_001 * HOUR) for x in (made, again))
        assert (got.ids.tolist(), got.values.tolist()) == (want.ids.tolist(), want.values.tolist())


def test_a_column_that_names_no_row_is_refused() -> None:
    saved = ledger(1).table("view").save()
    saved[0]["hour_slot"][0] = 200
    with pytest.raises(ValueError, match="not there"):
        reshard(saved, 2, 500_000 * HOUR)
