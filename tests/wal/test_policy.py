from __future__ import annotations

from typing import Any

import pytest

from tidal.errors import InvalidDuration, InvalidOption
from tidal.wal import SyncPolicy, parse_sync


@pytest.mark.parametrize("text", ["group", "always", "interval:50ms", "os", "buffered:5ms"])
def test_policies_come_back_as_text(text: str) -> None:
    policy = parse_sync(text)
    assert str(policy) == text
    assert parse_sync(policy) is policy
    assert policy.waits == (text in ("group", "always"))
    assert policy.buffers == (text == "buffered:5ms")


def test_the_default_is_group() -> None:
    assert SyncPolicy() == parse_sync("group")


@pytest.mark.parametrize(
    "text",
    ["", "none", "group:5ms", "interval", "interval:", "interval:fast", "os:1s", "buffered", "buffered:0s"],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises((InvalidOption, InvalidDuration), match=r"choose|interval|duration"):
        parse_sync(text)


@pytest.mark.parametrize(
    "values", [("daily",), (3,), ("group", 1), ("interval",), ("buffered", 0), ("interval", "1s")]
)
def test_policies_that_contradict_themselves(values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidOption, match="sync policy"):
        SyncPolicy(*values)
