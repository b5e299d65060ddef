"""The measurement of followers: it measures, and its table has a place on the page."""

from __future__ import annotations

from pathlib import Path

import followers
import pytest


def test_each_figure_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "PASSES", 1)
    rows = followers.Bench(tmp_path, 2_000, 0.05).figures({"in process": followers.InProcess()})
    assert [len(row) for row in rows] == [2] * 7
    rates = [float(row[1].removesuffix(" M")) for row in rows[:5] if row[1].endswith(" M")]
    assert len(rates) == 4 and min(rates) >= 0
    lags = [float(row[1].removesuffix(" ms")) for row in rows[5:]]
    assert 0 <= lags[0] <= lags[1]
    assert followers.table(["", "in process"], [["events", "1.00 M"]]) == [
        "|        | in process |",
        "| ------ | ---------: |",
        "| events |     1.00 M |",
    ]


def test_the_page_has_a_place_for_them() -> None:
    page = followers.PAGE.read_text(encoding="utf-8")
    replaced = followers.replaced(page, "THE TABLE", followers.BEGIN)
    assert replaced.count("THE TABLE") == 1
    before, _, after = replaced.partition("THE TABLE")
    assert before.rstrip().endswith(followers.BEGIN) and page.endswith(after)
    assert "table.py writes from here" in before  # the other table stands as it was
