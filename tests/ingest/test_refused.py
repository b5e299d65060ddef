from __future__ import annotations

import numpy as np
import pytest

from tidal.errors import InvalidEvent
from tidal.ingest.refused import Refusals, RefusedRow


def test_the_first_row_is_raised_and_the_earlier_finding_wins_a_tie() -> None:
    refusals = Refusals(first_row=100)
    refusals.add(np.array([False, False, True]), "weight", lambda row: row * 10, "late")
    refusals.add(np.array([False, True, True]), "entity_id", lambda row: row * 10, "early")
    refusals.add(np.array([False, True, False]), "user_id", lambda row: row * 10, "after")
    with pytest.raises(InvalidEvent, match="row 101, column 'entity_id', value 10: early") as caught:
        refusals.raise_first()
    assert (caught.value.row, caught.value.column, caught.value.value) == (101, "entity_id", 10)
    assert refusals.rows() == (
        RefusedRow(101, "entity_id", 10, "early"),
        RefusedRow(102, "weight", 20, "late"),
    )
    assert refusals.good(3).tolist() == [True, False, False]


def test_nothing_bad_is_no_finding() -> None:
    refusals = Refusals()
    refusals.add(np.zeros(3, np.bool_), "weight", str, "never")
    refusals.raise_first()
    assert not refusals
    assert refusals.rows() == ()
