"""What a program outside sees of the public API's types; read by mypy --strict, never run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import tidal

schema = tidal.SchemaBuilder().signal("view", half_life=("1d", "7d"), windows=("1h",), velocity=True).build()
assert_type(schema, tidal.Schema)

with tidal.open("feed.tidal", schema=schema, sync="interval:50ms", clock=lambda: 0) as db:
    assert_type(db, tidal.TidalDb)
    assert_type(db.signal("view", "sku:1", 2, timestamp=datetime.now(UTC), user_id=7), int)
    done = db.ingest(signal="view", entity_id=np.array([1, 2]), on_error="skip")
    assert_type(done, tidal.Ingested)
    assert_type(done.count, int)
    assert_type(done.duplicates, int)
    assert_type([row.reason for row in done.refused], list[str])
    assert_type(db.score("view", 1, half_life="7d", at=0), float)
    assert_type(db.scores("view", ["a", "b"]), NDArray[np.float64])
    assert_type(db.count("view", 1, "1h"), int)
    assert_type(db.counts("view", [1, 2], "1h"), NDArray[np.uint64])
    assert_type(db.velocity("view", 1, "1h"), float)
    assert_type(db.velocities("view", np.array([1, 2]), "1h"), NDArray[np.float64])
    top = db.top("view", 3, by="count.1h")
    assert_type(top, tidal.Top)
    assert_type(top.ids, NDArray[np.uint64])
    assert_type(top.values, NDArray[np.float64])
    assert_type(list(top.keys), list[str | None])
    assert_type(db.rank([1, 2], {"view.score": 1.0, "view.count.1h": 2}), tidal.Top)
    assert_type(db.read("view")["score"], NDArray[Any])
    assert_type(db.records("view"), list[NDArray[np.void]])
    assert_type(db.key_of(1), str | None)
    assert_type(db.items.get("sku:1"), dict[str, Any] | None)
    assert_type(db.now(), int)
    assert_type(db.flush(), int)
    assert_type(db.checkpoint(), int)

dedup = tidal.Dedup("content", events=10, time=None)
limits = tidal.Limits(entities=10, memory_bytes=1 << 30, unsynced_bytes=None, wait="5s")
assert_type(tidal.open(schema=schema, dedup=dedup, limits=limits), tidal.TidalDb)
assert_type(tidal.open(schema=schema, dedup="event_id"), tidal.TidalDb)

tidal.open(schema=schema, dedup=True)  # type: ignore[arg-type]
tidal.open(schema=schema, limits={"entities": 3})  # type: ignore[arg-type]
db.signal(1, "sku:1")  # type: ignore[arg-type]
db.score("view", 1.5)  # type: ignore[arg-type]
db.ingest(signal="view", entity_id=[1], on_error="ignore")  # type: ignore[arg-type]
tidal.open(schema={"view": {}})  # type: ignore[arg-type]
