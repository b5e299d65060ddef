"""Figures as text."""

from __future__ import annotations

import pytest

from tidal.cli.figures import ASCII_SPARKS, format_bytes, format_span, resampled, sparkline


@pytest.mark.parametrize(("value", "text"), [
    (0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"), (3 << 40, "3 TiB"),
    (5 << 50, "5,120.0 TiB"),
])  # fmt: skip
def test_sizes(value: int, text: str) -> None:
    assert format_bytes(value) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0.0, "0 ms"), (1.0, "1 s"), (119.4, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"),
    (86400 * 2, "2 days"),
])  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


def test_sparks_have_one_step_for_each_value() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁" == sparkline([-1, 0])
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▂▃▄▅▆▇██"
    assert sparkline([0, 7, 8], ASCII_SPARKS) == "_##"


def test_a_history_that_is_shorter_than_its_place_stays_short() -> None:
    assert resampled([], 10, 600) == []
    assert resampled([(700, 9.0)], 10, 600) == []
    assert resampled([(55, 1.0), (5, 2.0)], 10, 600) == [2.0]
    assert resampled([(600, 5.0), (300, 1.0), (0, 3.0)], 4, 600) == [5.0, 1.0, 1.0, 3.0]
