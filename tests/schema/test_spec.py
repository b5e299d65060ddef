from __future__ import annotations

from typing import Any

import pytest

from tidal.errors import SchemaError, UnknownMeasure, UnknownSignalType
from tidal.schema import SchemaBuilder

SCHEMA = (
    SchemaBuilder()
    .signal("view", half_life=("7d", "1d"), windows=("1h", "7d"), velocity=True)
    .signal("like", windows=("24h",))
    .signal("skip")
    .build()
)
VIEW, LIKE, SKIP = SCHEMA


def test_a_type_is_found_by_name_and_by_id() -> None:
    assert len(SCHEMA) == 3
    for position, signal in enumerate(SCHEMA):
        assert SCHEMA.signal(signal.name) is signal
        assert SCHEMA.by_id(position) is signal


@pytest.mark.parametrize("name", ["veiw", "", "VIEW", None, 0, ["view"]])
def test_an_unknown_type_is_refused(name: Any) -> None:
    with pytest.raises(UnknownSignalType, match="unknown signal type"):
        SCHEMA.signal(name)


def test_a_misspelt_type_gets_its_close_matches() -> None:
    with pytest.raises(UnknownSignalType, match="did you mean 'view'"):
        SCHEMA.signal("veiw")


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(SchemaError, match="id 3"):
        SCHEMA.by_id(3)


@pytest.mark.parametrize(
    ("half_life", "position"), [(None, 0), (0, 0), (1, 1), ("7d", 0), ("1d", 1), ("24h", 1)]
)
def test_a_half_life_is_named_by_value_or_position(half_life: Any, position: int) -> None:
    assert VIEW.half_life_position(half_life) == position


@pytest.mark.parametrize("half_life", [2, -1, "2d"])
def test_another_half_life_is_refused_with_the_declared_ones(half_life: Any) -> None:
    with pytest.raises(UnknownMeasure, match="declared: 7d, 1d"):
        VIEW.half_life_position(half_life)


def test_a_permanent_score_has_position_zero_only() -> None:
    assert SKIP.half_life_position(None) == SKIP.half_life_position(0) == 0
    with pytest.raises(UnknownMeasure, match="permanent"):
        SKIP.half_life_position(1)


def test_declared_windows_and_all_are_kept() -> None:
    for window in ("1h", "7d", "all"):
        VIEW.check_window(window)
    SKIP.check_window("all")


@pytest.mark.parametrize(
    ("signal", "window", "velocity", "words"),
    [
        (VIEW, "24h", False, "declared: 1h, 7d, all"),
        (VIEW, "24h", True, "declared: 1h, 7d"),
        (VIEW, "all", True, "declared: 1h, 7d"),
        (LIKE, "24h", True, "without velocity"),
        (SKIP, "1h", False, "declared: all"),
    ],
)
def test_what_is_not_declared_is_refused(signal: Any, window: str, velocity: bool, words: str) -> None:
    with pytest.raises(UnknownMeasure, match=words):
        signal.check_window(window, velocity=velocity)
