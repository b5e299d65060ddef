"""The bundled order lines: all of them, as their README counts them."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from tidal.demo.retail import ROWS, OrderLines, join, read_order_lines, retail_schema


@pytest.fixture(scope="module")
def lines() -> OrderLines:
    return join(list(read_order_lines(batch_rows=100_000)))


def test_the_published_counts(lines: OrderLines) -> None:
    assert len(lines) == ROWS == 541_909
    assert Counter(lines.signal.tolist()) == {"purchase": 531_282, "cancel": 9_288, "adjust": 1_336 + 3}
    assert len(set(lines.product.tolist())) == 4_070
    assert len(np.unique(lines.invoice)) == 25_900
    assert len(np.unique(lines.user[lines.user_known])) == 4_372
    assert int((~lines.user_known).sum()) == 135_080
    assert (np.diff(lines.timestamp) >= 0).all()
    assert np.datetime64(int(lines.timestamp[-1]), "ns") == np.datetime64("2011-12-09T12:50")
    assert lines.quantity.min() > 0 and lines.quantity.max() == 80_995


def test_rows_can_be_skipped_and_sliced(lines: OrderLines) -> None:
    rest = join(list(read_order_lines(batch_rows=1000, skip_rows=ROWS - 2500)))
    assert len(rest) == 2500
    ours, theirs = rest.events(10, 20), lines.events(ROWS - 2490, ROWS - 2480)
    assert set(ours["signal"]) <= set(retail_schema().names)
    for name, column in ours.items():
        assert np.ma.allequal(column, theirs[name]), name


def test_titles_are_names_not_notes(lines: OrderLines) -> None:
    titles = lines.titles()
    assert titles["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER"
    assert titles["23843"] == "PAPER CRAFT , LITTLE BIRDIE"
    assert all(title == " ".join(title.split()) and title for title in titles.values())


def test_the_attribution_travels_with_the_data() -> None:
    text = (files("tidal.demo") / "data" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text and "Daqing Chen" in text and "doi:10.1057/dbm.2012.17" in text
