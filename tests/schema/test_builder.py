from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import (
    DuplicateName,
    InvalidDuration,
    InvalidKind,
    InvalidName,
    InvalidWindow,
    SchemaError,
    TooManyHalfLives,
    TooManySignals,
    VelocityWithoutWindows,
)
from tidal.schema import SchemaBuilder, parse_duration
from tidal.schema.spec import KINDS, SIGNALS_PER_KIND_MAX

DAY = 86400 * 10**9


def test_a_schema_holds_what_was_declared() -> None:
    schema = (
        SchemaBuilder()
        .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
        .signal("follow", kind="creator", half_life=("1d", timedelta(days=30)))
        .signal("reward", kind="user", windows=["7d"], signed=True)
        .build()
    )
    assert schema.names == ("view", "follow", "reward")
    assert [signal.type_id for signal in schema] == [0, 1, 2]
    view, follow, reward = schema
    assert (view.kind, view.half_lives, view.windows) == ("item", (7 * DAY,), ("1h", "24h", "7d"))
    assert (view.velocity, view.signed) == (True, False)
    assert (follow.kind, follow.half_lives, follow.windows) == ("creator", (DAY, 30 * DAY), ())
    assert (reward.kind, reward.half_lives, reward.windows, reward.signed) == ("user", (), ("7d",), True)


def test_the_order_of_half_lives_is_kept_because_the_first_is_the_default() -> None:
    schema = SchemaBuilder().signal("like", half_life=("30d", "1d")).build()
    assert schema.signal("like").half_lives == (30 * DAY, DAY)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("7d", "1h"), ("1h", "7d")),
        (("24h", "24h"), ("24h",)),
        (("1d", "168h", "60m"), ("1h", "24h", "7d")),
        ((timedelta(hours=24),), ("24h",)),
        (iter(["7d", "24h"]), ("24h", "7d")),
        ((), ()),
    ],
)
def test_windows_are_kept_shortest_first_and_once(given: Any, kept: tuple[str, ...]) -> None:
    assert SchemaBuilder().signal("view", windows=given).build().signal("view").windows == kept


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"kind": "video"}, InvalidKind, "'item', 'user', 'creator'"),
        ({"kind": None}, InvalidKind, "'item', 'user', 'creator'"),
        ({"half_life": "a week"}, InvalidDuration, 'write "7d"'),
        ({"half_life": 7}, InvalidDuration, 'write "7d"'),
        ({"half_life": "0d"}, InvalidDuration, "positive"),
        ({"half_life": timedelta(days=-1)}, InvalidDuration, "positive"),
        ({"half_life": ("1d", None)}, InvalidDuration, "None is not a duration"),
        ({"half_life": "0.5ms"}, InvalidDuration, "between 1ms and 36525d"),
        ({"half_life": "36526d"}, InvalidDuration, "between 1ms and 36525d"),
        ({"half_life": ("1d", "7d", "24h")}, InvalidDuration, "1d is given twice"),
        ({"half_life": ("1d", "2d", "3d", "4d")}, TooManyHalfLives, "second signal type"),
        ({"windows": ("all",)}, InvalidWindow, "always kept"),
        ({"windows": ("1h", "2h")}, InvalidWindow, '\'2h\' cannot be kept; choose from "1h", "24h", "7d"'),
        ({"windows": (3600,)}, InvalidWindow, "choose from"),
        ({"windows": "1h"}, InvalidWindow, "not a tuple"),
        ({"windows": timedelta(hours=1)}, InvalidWindow, "not a tuple"),
        ({"windows": None}, InvalidWindow, "not a tuple"),
        ({"velocity": True}, VelocityWithoutWindows, "windows="),
        ({"windows": ("1h",), "velocity": "1h"}, SchemaError, "write True or False"),
        ({"signed": 1}, SchemaError, "write True or False"),
    ],
)
def test_a_bad_option_is_refused_at_once_and_in_words(
    options: dict[str, Any], error: type[SchemaError], words: str
) -> None:
    builder = SchemaBuilder()
    with pytest.raises(error) as caught:
        builder.signal("view", **options)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "'view'" in str(caught.value)
    assert builder.signal("view").build().names == ("view",), "the refused type left something behind"


@pytest.mark.parametrize("half_life", ["1ms", "36525d"])
def test_the_ends_of_the_half_life_range_are_valid(half_life: str) -> None:
    schema = SchemaBuilder().signal("view", half_life=half_life).build()
    assert schema.signal("view").half_lives == (parse_duration(half_life),)


@pytest.mark.parametrize(
    "name", ["", "View", "9lives", "_view", "a-b", "a b", "view\n", "é", "a" * 65, None, 7, b"view"]
)
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidName, match="lower-case letter"):
        SchemaBuilder().signal(name)


@given(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True))
def test_a_good_name_is_taken(name: str) -> None:
    assert SchemaBuilder().signal(name).build().names == (name,)


def test_a_name_is_declared_once_whatever_its_kind() -> None:
    builder = SchemaBuilder().signal("view", kind="item")
    with pytest.raises(DuplicateName, match="'view' is declared twice"):
        builder.signal("view", kind="user")


def test_a_kind_takes_64_types_and_the_others_64_more() -> None:
    builder = SchemaBuilder()
    for kind in KINDS:
        for number in range(SIGNALS_PER_KIND_MAX):
            builder.signal(f"{kind}_{number}", kind=kind)
        with pytest.raises(TooManySignals, match=f"number 65 of kind '{kind}'"):
            builder.signal(f"{kind}_more", kind=kind)
    assert [signal.type_id for signal in builder.build()] == list(range(3 * SIGNALS_PER_KIND_MAX))


def test_an_empty_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="at least one signal type"):
        SchemaBuilder().build()


def test_a_built_schema_does_not_change_with_its_builder() -> None:
    builder = SchemaBuilder().signal("view")
    schema = builder.build()
    builder.signal("like")
    assert schema.names == ("view",)
