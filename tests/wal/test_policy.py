from __future__ import annotations

import pytest

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
    with pytest.raises(ValueError, match=r"choose|interval|duration"):
        parse_sync(text)
