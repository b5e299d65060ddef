"""The events of every fault test: number n is the same in each run, so what is recovered can be judged."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import tidal
from tidal.entities import entity_key_id
from tidal.schema import EventBatch

SCHEMA: Final = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h",))
    .signal("like", half_life=("1d", "30d"), signed=True)
    .build()
)
KEYS: Final = tuple(f"item-{n}" for n in range(37))

_IDS = np.array([entity_key_id(key) for key in KEYS], np.uint64)
_START = 1_700_000_000 * 10**9
_TYPES = np.array([SCHEMA.signal("like").type_id, SCHEMA.signal("view").type_id], np.uint8)


def _numbers(after: int, count: int) -> NDArray[np.int64]:
    return np.arange(after + 1, after + count + 1, dtype=np.int64)


def _times(n: NDArray[np.int64]) -> NDArray[np.int64]:
    return _START + n * 7_000_000_000 - (n % 5 == 0) * 3_600_000_000_000


def columns(after: int, count: int) -> dict[str, Any]:
    """The events numbered after + 1 to after + count, as db.ingest takes them; entities by string key."""
    n = _numbers(after, count)
    return {
        "signal": ["view" if view else "like" for view in (n % 3 != 0).tolist()],
        "entity_id": [KEYS[i] for i in (n * n % len(KEYS)).tolist()],
        "weight": (n % 11).astype(np.float32),
        "timestamp": _times(n),
        "user_id": (n % 13).astype(np.uint64),
    }


def expected(after: int, count: int) -> EventBatch:
    """The same events as the log must hold them."""
    n = _numbers(after, count)
    return EventBatch(
        _IDS[n * n % len(KEYS)], _TYPES[(n % 3 != 0).astype(np.intp)], (n % 11).astype(np.float32), _times(n)
    )


def same(batch: EventBatch, first: int) -> bool:
    """Whether a batch of the log holds exactly the events from number ``first`` on."""
    want = expected(first - 1, len(batch))
    users = batch.user_id
    return (
        all(
            np.array_equal(getattr(batch, name), getattr(want, name))
            for name in ("entity_id", "type_id", "weight", "timestamp")
        )
        and users is not None
        and np.array_equal(users.values, _numbers(first - 1, len(batch)).view(np.uint64) % 13)
    )
