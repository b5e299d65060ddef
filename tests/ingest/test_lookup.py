from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidal.errors import InvalidEvent
from tidal.ingest.lookup import entity_ids


def test_ids_and_keys(keys: Any) -> None:
    assert entity_ids(np.array([5, 2**64 - 1], np.uint64), "item", keys).tolist() == [5, 2**64 - 1]
    assert entity_ids(["a", "b", "a"], "user", keys).tolist() == keys("user", ["a", "b", "a"])[0].tolist()
    assert keys.asked[0] == ("user", ["a", "b"])
    assert entity_ids([], "item", keys).dtype == entity_ids(np.array([]), "item", keys).dtype == np.uint64


def test_the_first_that_is_neither(keys: Any) -> None:
    with pytest.raises(InvalidEvent, match="row 1, column 'ids', value -1"):
        entity_ids([1, -1, -2], "item", keys)
