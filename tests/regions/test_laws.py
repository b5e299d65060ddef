"""Merging is commutative, associative and idempotent, bit for bit: on the bytes of what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regionkit import MERGEABLE

NAMES = pytest.mark.parametrize("name", MERGEABLE)


@NAMES
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_order_of_two_does_not_matter(name: str, data: Any) -> None:
    drawn, merge = MERGEABLE[name]
    a, b = data.draw(drawn), data.draw(drawn)
    assert merge(a, b).encode() == merge(b, a).encode()


@NAMES
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nor_does_what_is_merged_first(name: str, data: Any) -> None:
    drawn, merge = MERGEABLE[name]
    a, b, c = data.draw(drawn), data.draw(drawn), data.draw(drawn)
    assert merge(merge(a, b), c).encode() == merge(a, merge(b, c)).encode()


@NAMES
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nor_how_often(name: str, data: Any) -> None:
    drawn, merge = MERGEABLE[name]
    a, b = data.draw(drawn), data.draw(drawn)
    once = merge(a, b)
    assert merge(once, b).encode() == merge(once, once).encode() == once.encode()


@pytest.mark.parametrize("name", ["counter", "register", "negatives"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_was_written_is_read(name: str, data: Any) -> None:
    state = data.draw(MERGEABLE[name].drawn)
    assert type(state).decode(state.encode()).encode() == state.encode()
