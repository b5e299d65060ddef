"""Events dealt out to shards, with the names that each lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tidal
from tidal.entities import KeyNames
from tidal.schema import EventBatch
from tidal.schema.events import IdColumn
from tidal.sharding import dealing
from tidal.sharding.dealing import Dealer
from tidal.sharding.router import ShardRouter
from tidal.storage import MemoryEngine

SCHEMA = tidal.SchemaBuilder().signal("view").signal("follow", kind="creator").build()


def test_the_keys_of_a_call_are_gone_through_once_however_many_shards_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked, fromiter = 0, np.fromiter

    def counted(items: Any, dtype: Any, count: int = -1) -> Any:
        nonlocal looked
        looked += count if isinstance(items, dict) else 0
        return fromiter(items, dtype, count)

    shards, rows = 16, 400
    names = [KeyNames(MemoryEngine()) for _ in range(shards)]
    dealer = Dealer(SCHEMA, ShardRouter.hashed(shards), names)
    items, users = [f"item:{it}" for it in range(rows)], [f"user:{it % 50}" for it in range(rows)]
    item_ids, _ = dealer.resolve("item", items)
    user_ids, _ = dealer.resolve("user", users[:50])
    ids = np.concatenate([item_ids, np.arange(rows, dtype=np.uint64)])
    batch = EventBatch(
        ids,
        np.repeat(np.array([0, 1], np.uint8), rows),
        np.ones(2 * rows, np.float32),
        np.arange(2 * rows, dtype=np.int64),
        IdColumn(np.concatenate([np.tile(user_ids, rows // 50), np.zeros(rows, np.uint64)]), None),
    )
    monkeypatch.setattr(dealing.np, "fromiter", counted)
    parts = dict(dealer.deal(batch))
    monkeypatch.undo()
    assert looked == rows + 50
    key_of = dict(zip(item_ids.tolist(), items, strict=True))
    user_of = dict(zip(user_ids.tolist(), users, strict=False))
    for part in parts.values():
        assert part.user_id is not None
        used = {("item", key_of[id]) for id in part.entity_id.tolist() if id in key_of}
        used |= {("user", user_of[id]) for id in part.user_id.values.tolist() if id in user_of}
        assert {(key.kind, key.key) for key in part.new_keys} == used
        assert len(part.new_keys) == len(used)


def test_a_call_without_a_key_names_nobody() -> None:
    dealer = Dealer(SCHEMA, ShardRouter.hashed(2), [KeyNames(MemoryEngine()) for _ in range(2)])
    dealer.resolve("item", [])
    ids = np.arange(10, dtype=np.uint64)
    batch = EventBatch(ids, np.zeros(10, np.uint8), np.ones(10, np.float32), ids.astype(np.int64))
    assert sum(len(part) for _, part in dealer.deal(batch)) == 10
    assert not any(part.new_keys for _, part in dealer.deal(batch))
