"""JSON that means two things, or nothing that fits, is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.serve.limits import JSON_DEPTH_MAX
from tidal.serve.strict_json import BadJson, parse_json

REFUSED = {
    "NaN": "NaN is not JSON",
    '{"a": Infinity}': "Infinity is not JSON",
    "[-Infinity]": "-Infinity is not JSON",
    "1e999": "beyond every float64",
    "-1e999": "beyond every float64",
    "9" * 5000: "more than 20 digits",
    "-" + "9" * 21: "more than 20 digits",
    '{"a": 1, "a": 1}': "'a' stands twice",
    '[{"b": {"a": 1, "\\u0061": 2}}]': "'a' stands twice",
    "[" * 100_000: "nested deeper than 16",
    '{"a":' * 17 + "1" + "}" * 17: "nested deeper than 16",
    "": "Expecting value",
    "[1,]": "line 1, column",
    "01": "Extra data",
    "'a'": "Expecting value",
    "\ufeff{}": "Expecting value",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items(), ids=[text[:20] for text in REFUSED])
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        parse_json(text.encode())


def test_other_encodings_are_refused() -> None:
    with pytest.raises(BadJson, match="not UTF-8 at byte 1"):
        parse_json(b'"\xff"')
    with pytest.raises(BadJson, match=r"not UTF-8|Expecting value"):
        parse_json('{"a": 1}'.encode("utf-16"))


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def depth(value: Any) -> int:
    if isinstance(value, list | dict):
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


@given(JSON, st.booleans())
def test_all_else_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert depth(value) > JSON_DEPTH_MAX or parse_json(text) == value


@given(st.integers(1, 40), st.text(alphabet='[]{}"\\ a'))
def test_depth_is_that_of_the_value_and_not_of_its_texts(levels: int, text: str) -> None:
    value: Any = text
    for _ in range(levels):
        value = [value]
    encoded = json.dumps(value).encode()
    if levels <= JSON_DEPTH_MAX:
        assert parse_json(encoded) == value
    else:
        with pytest.raises(BadJson, match="nested deeper"):
            parse_json(encoded)
