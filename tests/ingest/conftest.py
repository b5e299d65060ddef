"""A schema, a stand-in for the store's keys, and the Arrow producer of tests/helpers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from arrow_fake import FakeColumn, FakeTable

from tidal.schema import SchemaBuilder
from tidal.schema.events import U64, NewKey
from tidal.schema.spec import Schema

NOW = 1_700_000_000_000_000_000
SKEW = 600_000_000_000


def key_id(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


class Keys:
    """Resolves keys, every name being new, and records what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, list[str]]] = []

    def __call__(self, kind: str | None, keys: Sequence[str]) -> tuple[U64, tuple[NewKey, ...]]:
        self.asked.append((kind, list(keys)))
        ids = [key_id(key) for key in keys]
        new = (
            () if kind is None else tuple(NewKey(kind, id_, key) for id_, key in zip(ids, keys, strict=True))
        )
        return np.array(ids, np.uint64), new


@pytest.fixture(scope="session")
def schema() -> Schema:
    return (
        SchemaBuilder()
        .signal("view", half_life="7d", windows=("1h", "24h"))
        .signal("reward", half_life="30d", signed=True)
        .signal("follow", kind="user", half_life="1d")
        .signal("boost", kind="creator")
        .build()
    )


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture(scope="session")
def rules() -> dict[str, Any]:
    """The context of every prepare call that looks at no key."""
    return {"now_ns": NOW, "max_future_skew_ns": SKEW, "resolve_keys": Keys()}


@pytest.fixture(scope="session")
def fake_column() -> type[FakeColumn]:
    return FakeColumn


@pytest.fixture(scope="session")
def fake_table() -> type[FakeTable]:
    return FakeTable
