from __future__ import annotations

import numpy as np

from tidal.schema import EventBatch
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS


def test_the_length_of_a_batch_is_its_number_of_events() -> None:
    for size in (0, 3):
        columns = [np.zeros(size, dtype) for dtype in (np.uint64, np.uint8, np.float32, np.int64)]
        assert len(EventBatch(*columns)) == size


def test_the_distance_of_any_two_times_fits_an_int64() -> None:
    span = TIME_MAX_NS - TIME_MIN_NS
    assert span <= np.iinfo(np.int64).max
