"""Rows that hold every kind of value that an export may meet."""

from __future__ import annotations

from typing import Any

from tidal.export import Field

START = 1_700_000_000_000_000_000

FIELDS = [
    Field("entity_id", "uint64"),
    Field("user_id", "uint64", nullable=True),
    Field("change", "int64", nullable=True),
    Field("weight", "float32"),
    Field("score", "float64", nullable=True),
    Field("liked", "bool", nullable=True),
    Field("text", "string", nullable=True),
    Field("time", "timestamp"),
]
ROWS: dict[str, list[Any]] = {
    "entity_id": [0, 2**63 + 5, 2**64 - 1],
    "user_id": [None, 2**63 + 1, 7],
    "change": [-(2**63), None, 2**53 + 1],
    "weight": [1.0, -0.25, 3.4028234663852886e38],
    "score": [0.1, None, -1e-300],
    "liked": [True, None, False],
    "text": ['a "b", \\ é 🜲\n\t', None, ""],
    "time": [START, 0, -1],
}
