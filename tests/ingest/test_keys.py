from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidal.errors import KeyCollision
from tidal.ingest.convert import Ids
from tidal.ingest.keys import KeyResolver
from tidal.schema.events import NewKey


def test_only_used_keys_are_asked_for(keys: Any) -> None:
    resolver = KeyResolver(keys)
    column = Ids(np.array([2, 0, 2], np.int32), np.array([True, False, True]), ["unused", "too", "used"])
    ids = resolver.resolve("item", column)
    assert keys.asked == [("item", ["used"])]
    assert ids[0] == ids[2] != 0 and ids[1] == 0
    assert [new.key for new in resolver.take_new_keys()] == ["used"]


def test_nothing_is_asked_when_all_is_null_or_empty(keys: Any) -> None:
    resolver = KeyResolver(keys)
    assert resolver.resolve(None, Ids(np.zeros(2, np.int32), np.zeros(2, np.bool_), [])).tolist() == [0, 0]
    assert resolver.resolve("item", Ids(np.zeros(0, np.int32), None, ["a"])).tolist() == []
    assert keys.asked == []


def test_a_name_is_new_once_a_call(keys: Any) -> None:
    resolver = KeyResolver(keys)
    column = Ids(np.zeros(1, np.int32), None, ["a"])
    resolver.resolve("item", column)
    resolver.resolve("user", column)
    assert [new.kind for new in resolver.take_new_keys()] == ["item", "user"]
    resolver.resolve("item", column)
    assert resolver.take_new_keys() == ()


def test_two_new_keys_of_one_id_collide() -> None:
    resolver = KeyResolver(lambda kind, keys: (np.array([7], np.uint64), (NewKey("item", 7, keys[0]),)))
    resolver.resolve("item", Ids(np.zeros(1, np.int32), None, ["a"]))
    with pytest.raises(KeyCollision, match="'a' and 'b' have the same id 7"):
        resolver.resolve("item", Ids(np.zeros(1, np.int32), None, ["b"]))


def test_ids_under_nulls_become_zero(keys: Any) -> None:
    ids = KeyResolver(keys).resolve(None, Ids(np.array([5, 6], np.uint64), np.array([True, False])))
    assert ids.tolist() == [5, 0]
