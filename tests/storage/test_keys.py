"""Keys: byte order is the order of ids, and nothing but a key decodes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import InvalidKey
from tidal.schema.spec import KINDS
from tidal.storage.keys import (
    ID_MAX,
    KEYSPACES,
    Key,
    Tag,
    decode_key,
    encode_key,
    id_prefix,
    prefix_end,
)

ids = st.integers(0, ID_MAX) | st.sampled_from([0, 1, 2**63 - 1, 2**63, ID_MAX - 1, ID_MAX])
keys = st.builds(Key, ids, st.sampled_from(Tag), st.binary(max_size=6))


def test_each_kind_has_a_keyspace() -> None:
    assert KEYSPACES == {"item": "items", "user": "users", "creator": "creators"}
    assert tuple(KEYSPACES) == KINDS


def test_layout() -> None:
    assert encode_key(0x0102030405060708, Tag.IDX, b"x") == bytes([1, 2, 3, 4, 5, 6, 7, 8, 0, 6]) + b"x"


@given(keys)
def test_round_trip(key: Key) -> None:
    assert decode_key(encode_key(*key)) == key


@given(keys, keys)
def test_byte_order_is_the_order_of_ids_tags_and_suffixes(a: Key, b: Key) -> None:
    assert (encode_key(*a) < encode_key(*b)) == (a < b)


@given(keys, ids)
def test_a_prefix_finds_its_id_alone(key: Key, id: int) -> None:
    assert encode_key(*key).startswith(id_prefix(key.id))
    assert encode_key(*key).startswith(id_prefix(id)) == (key.id == id)


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_prefix_end_bounds_exactly_the_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert key.startswith(prefix) == (prefix <= key and (end is None or key < end))


@pytest.mark.parametrize("id", [-1, ID_MAX + 1])
def test_ids_outside_u64_are_refused(id: int) -> None:
    for encode in (lambda: encode_key(id, Tag.META), lambda: id_prefix(id)):
        with pytest.raises(InvalidKey, match=f"id {id} is outside"):
            encode()


@given(st.binary(max_size=14))
def test_decoding_any_bytes_is_a_key_or_an_error(data: bytes) -> None:
    try:
        key = decode_key(data)
    except InvalidKey:
        assert len(data) < 10 or data[8] != 0 or data[9] not in list(Tag)
    else:
        assert encode_key(*key) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes, fewer than 10"),
        (bytes(9), "has 9 bytes"),
        (bytes(8) + b"\x01\x03", "separator 1 and tag 3"),
        (bytes(10), "tag 0"),
        (bytes(9) + b"\x07", "tag 7"),
    ],
)
def test_what_is_no_key_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidKey, match=re.escape(message)):
        decode_key(data)


def test_the_documented_tags_are_the_tags() -> None:
    page = (Path(__file__).parents[2] / "docs/format/storage.md").read_text()
    documented = re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)
    assert documented == [(str(tag.value), tag.name) for tag in Tag]
