"""What is in the golden files of the formats, and where they are: v1, and what later versions brought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tidal.format.segment import LogIdentity
from tidal.schema import Schema, SchemaBuilder
from tidal.schema.events import TIME_MIN_NS, EventBatch, IdColumn, NewKey

FOLDER = Path(__file__).parents[1] / "data" / "format" / "v1"
DICTIONARIES = FOLDER.parent / "v2"  # an archive of the same events
BY_HASH = FOLDER.parent / "v3"  # an archive of many_entities()
IDENTITY = LogIdentity(bytes(range(16)), epoch=3)
EPOCH = 1_600_000_000_000_000_000


def hashed(count: int) -> np.ndarray:
    """Words without a pattern, the same on every machine."""
    return np.array([pow(3, i + 100, 2**64 - 59) for i in range(count)], np.uint64)


def schema() -> Schema:
    """The schema in the archive: five types, and one with the last id."""
    builder = SchemaBuilder()
    for number in range(6):
        builder.signal(f"type_{number}", half_life=f"{number + 1}d", windows=("1h",))
    *first, last = builder.build()
    return Schema((*first, replace(last, type_id=255)))


def expected() -> list[EventBatch]:
    """What is in the segment: every column, every codec, both forms of weights."""
    rows = np.arange(400)
    some = rows % 3 == 0
    return [
        EventBatch(  # dictionary, planes, whole weights, delta; optional ids with and without gaps; keys
            hashed(20)[rows * 7 % 20],
            (rows % 5).astype(np.uint8),
            (rows % 11 - 5).astype(np.float32),
            EPOCH + rows * rows,
            IdColumn(np.where(some, rows + 1_000, 0).astype(np.uint64), some),
            IdColumn((rows // 10 + 536_365).astype(np.uint64)),
            IdColumn(hashed(400)),
            (NewKey("item", 7, "sku:85123A"), NewKey("user", 2**64 - 1, "Zoë"), NewKey("creator", 0, "")),
        ),
        EventBatch(  # raw, constant, weights as bits
            hashed(400),
            np.full(400, 255, np.uint8),
            (rows / 7).astype(np.float32),
            np.full(400, -1, np.int64),
        ),
        EventBatch(  # one event at the ends of every range
            np.array([2**64 - 1], np.uint64),
            np.zeros(1, np.uint8),
            np.array([-0.0], np.float32),
            np.array([TIME_MIN_NS], np.int64),
        ),
    ]


def many_entities() -> EventBatch:
    """So many that their places in a dictionary are by hash."""
    rows, keys = np.arange(18_000), hashed(18_000)
    return EventBatch(
        np.concatenate([np.argsort(keys[:9_000]), np.argsort(keys[9_000:])]).astype(np.uint64) * 3,
        np.zeros(18_000, np.uint8),
        (rows % 4 + 1).astype(np.float32),
        EPOCH + rows * 1_000_000_000,
    )


STORE = FOLDER / "store"
STORE_DIGEST = "bab8b7aadbb9e790dc66f733ac201192d2a82c664c974b75177157f57d3ce48e"  # of the ledger
STORE_SCHEMA = (
    SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
    .signal("reward", half_life=("1d", "30d"), windows=("24h",), signed=True)
    .signal("follow", kind="user")
    .build()
)


def store_events(part: int) -> dict[str, Any]:
    """The events of one of three runs, as ingest takes them: 60 each."""
    n = np.arange(60 * part, 60 * (part + 1))
    return {
        "signal": [("view", "reward", "follow")[i % 7 % 3] for i in n.tolist()],
        "entity_id": [f"item-{i * i % 23}" for i in n.tolist()],
        "weight": ((n % 11) - 5 * (n % 7 == 1)).astype(np.float32),
        "timestamp": EPOCH + n * 600_000_000_000,
        "user_id": [f"user-{i % 13}" for i in n.tolist()],
    }
