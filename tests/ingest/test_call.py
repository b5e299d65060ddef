"""What one call is given: a table, or columns by their names, and never half of each."""

from __future__ import annotations

from typing import Any

import polars
import pytest

from tidal.errors import InvalidEvent
from tidal.ingest import prepare_call
from tidal.schema import SchemaBuilder

T = 10**18
SCHEMA = SchemaBuilder().signal("view").signal("like").build()
TABLE = polars.DataFrame({"sku": [1, 2], "timestamp": [T, T + 1]})


def prepared(frame: Any = None, columns: Any = None, **given: Any) -> list[tuple[list[int], list[int]]]:
    found = prepare_call(
        SCHEMA,
        frame,
        given,
        columns=columns,
        now_ns=T,
        max_future_skew_ns=None,
        resolve_keys=lambda kind, keys: pytest.fail("there are no keys"),
        on_error="raise",
    )
    return [(batch.entity_id.tolist(), batch.type_id.tolist()) for batch, _ in found]


def test_columns_by_their_names() -> None:
    assert prepared(signal="like", entity_id=[3, 4]) == [([3, 4], [1, 1])]


def test_a_table_with_a_signal_for_all_of_its_rows() -> None:
    assert prepared(TABLE, {"entity_id": "sku"}, signal="like", weight=None) == [([1, 2], [1, 1])]


def test_neither_names_columns_as_one_of_its_own() -> None:
    with pytest.raises(InvalidEvent, match="no table is given"):
        prepared(None, {"entity_id": "sku"}, signal="like", entity_id=[3])
    with pytest.raises(InvalidEvent, match="beside a table only"):
        prepared(TABLE, {"entity_id": "sku"}, signal="like", weight=[1.0, 2.0])


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidEvent, match="signal"):
        prepared(entity_id=[3])
    with pytest.raises(InvalidEvent, match="entity_id"):
        prepared(signal="like")
