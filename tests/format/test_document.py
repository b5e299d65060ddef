from __future__ import annotations

import json

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError, FormatTooNew
from tidal.format.document import decode_document, encode_document

SCALARS = st.none() | st.booleans() | st.integers(0, 2**64) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def decode(data: bytes, **options) -> dict:
    return decode_document(data, **({"version": 1, "fields": ("value",), "bytes_max": 1000} | options))


@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    body = {"format": 1, "value": value}
    assert decode(encode_document(body), bytes_max=10_000) == body


def test_the_hash_is_of_the_rest_in_the_form_that_the_pages_say() -> None:
    document = json.loads(encode_document({"value": [2, 1], "format": 1}))
    assert document["blake3"] == blake3(b'{"format":1,"value":[2,1]}').hexdigest()


def test_any_flipped_bit_is_noticed() -> None:
    good = encode_document({"format": 1, "value": "text with spaces"})
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            decode(bytes(bad))


def test_any_cut_and_any_addition_is_noticed() -> None:
    good = encode_document({"format": 1, "value": 5})
    for size in range(len(good)):
        with pytest.raises(FormatError):
            decode(good[:size])
    for more in (b"\n", b" ", b"\0", good):
        with pytest.raises(FormatError):
            decode(good + more)


@pytest.mark.parametrize("data", [b"[" * 900, b"NaN", b"[]", b'"x"', b"\xff", b"1" * 900, b'{"format":1}'])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


def test_the_same_content_in_another_form_is_refused() -> None:
    good = json.loads(encode_document({"format": 1, "value": 5}))
    with pytest.raises(FormatError, match="hash"):
        decode(json.dumps(good, indent=1, sort_keys=True).encode())


@pytest.mark.parametrize(
    "body", [{"format": 1}, {"format": 1, "value": 1, "x": 1}, {"value": 1}, {"format": "1", "value": 1}]
)
def test_other_fields_are_refused(body: dict) -> None:
    with pytest.raises(FormatError, match="with the fields"):
        decode(encode_document(body))


def test_a_newer_format_is_told_only_by_a_good_hash() -> None:
    newer = encode_document({"format": 2, "entirely": "different"})
    with pytest.raises(FormatTooNew, match="format 2"):
        decode(newer)
    with pytest.raises(FormatError, match="hash"):
        decode(newer.replace(b"different", b"Different"))


def test_too_many_bytes_are_not_looked_at() -> None:
    with pytest.raises(FormatError, match="at most 50"):
        decode(b"[" * 10**6, bytes_max=50)
