"""Dictionaries of an archive file: ids as bytes and back, none believed before their hash."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from format_pages import FOLDER, places, tables
from hypothesis import given
from hypothesis import strategies as st

from tidal._ext.hash_order import SORTED_RUN_MIN
from tidal.errors import FormatError
from tidal.format import columns as codec
from tidal.format.dictionary import (
    AS_STORED,
    BY_HASH,
    DICTIONARY_ENTRY,
    DICTIONARY_IDS_MAX,
    decode_dictionary,
    decode_dictionary_entries,
    encode_dictionary,
)
from tidal.format.payload import TAG_ENTITY_ID, TAG_EVENT_ID, TAG_SESSION_ID, TAG_USER_ID, TAG_WEIGHT

IDS = np.random.default_rng(3).integers(0, 2**64, 3_000, np.uint64)
ENTRY, STORED, _ = encode_dictionary(TAG_USER_ID, IDS, by_hash=True)
MANY = np.sort(np.random.default_rng(4).integers(0, 2**64, SORTED_RUN_MIN, np.uint64))


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300), min_size=1, max_size=200, unique=True))
def test_ids_come_back_in_their_order(values: list[int]) -> None:
    entry, stored, by_place = encode_dictionary(TAG_ENTITY_ID, np.array(values, np.uint64), by_hash=True)
    (again,) = decode_dictionary_entries(entry.encode())
    assert again == entry
    assert (entry.tag, entry.ids, entry.stored_bytes) == (TAG_ENTITY_ID, len(values), len(stored))
    assert decode_dictionary(again, stored).tolist() == values == by_place.tolist()
    assert entry.order == AS_STORED


@pytest.mark.parametrize("count", [SORTED_RUN_MIN - 1, SORTED_RUN_MIN])
def test_places_of_many_ascending_ids_are_by_hash_and_cost_no_bytes(count: int) -> None:
    ids = np.concatenate([MANY[:count], np.array([3, 2, 1], np.uint64)])
    entry, stored, by_place = encode_dictionary(TAG_ENTITY_ID, ids, by_hash=True)
    (again,) = decode_dictionary_entries(entry.encode())
    assert decode_dictionary(again, stored).tolist() == by_place.tolist()
    hashed = count == SORTED_RUN_MIN
    assert (entry.order, by_place.tolist() == ids.tolist()) == (
        (BY_HASH, False) if hashed else (AS_STORED, True)
    )
    assert sorted(by_place[:count].tolist()) == ids[:count].tolist()
    assert by_place[count:].tolist() == ids[count:].tolist()
    as_stored = entry._replace(order=AS_STORED)
    as_stored = as_stored._replace(hash=as_stored.hash_of(stored))
    assert decode_dictionary(as_stored, stored).tolist() == ids.tolist()
    with pytest.raises(FormatError, match="does not match its hash"):  # the order is under it
        decode_dictionary(entry._replace(order=1 - entry.order), stored)


def test_ascending_ids_take_fewer_bytes() -> None:
    assert len(encode_dictionary(TAG_USER_ID, np.sort(IDS), by_hash=True)[1]) < 0.9 * len(STORED)


def test_every_bit_and_every_cut_is_noticed() -> None:
    for position in range(len(STORED)):
        damaged = bytearray(STORED)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(FormatError, match=f"of column {TAG_USER_ID} does not match its hash"):
            decode_dictionary(ENTRY, bytes(damaged))
    with pytest.raises(FormatError):
        decode_dictionary(ENTRY, STORED[:-1])


@pytest.mark.parametrize(
    "change",
    [
        {"tag": TAG_WEIGHT},
        {"tag": TAG_EVENT_ID},
        {"ids": 0},
        {"ids": DICTIONARY_IDS_MAX + 1},
        {"stored_bytes": 0},
        {"stored_bytes": 8 * 3_002},
        {"order": 2},
    ],
)
def test_entries_that_are_never_written_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(FormatError):
        list(decode_dictionary_entries(ENTRY._replace(**change).encode()))
    reserved = bytearray(ENTRY.encode())
    reserved[13] = 1
    with pytest.raises(FormatError):
        list(decode_dictionary_entries(reserved))


@pytest.mark.parametrize("tags", [(TAG_USER_ID, TAG_USER_ID), (TAG_SESSION_ID, TAG_ENTITY_ID)])
def test_each_column_has_one_in_ascending_order(tags: tuple[int, int]) -> None:
    rows = b"".join(ENTRY._replace(tag=tag).encode() for tag in tags)
    with pytest.raises(FormatError, match="after that of column"):
        list(decode_dictionary_entries(rows))


def test_all_of_a_file_together_are_bounded() -> None:
    half = DICTIONARY_IDS_MAX // 2
    rows = [ENTRY._replace(tag=tag, ids=half) for tag in (TAG_ENTITY_ID, TAG_USER_ID)]
    assert len(list(decode_dictionary_entries(b"".join(row.encode() for row in rows)))) == 2
    rows.append(ENTRY._replace(tag=TAG_SESSION_ID, ids=1))
    with pytest.raises(FormatError):
        list(decode_dictionary_entries(b"".join(row.encode() for row in rows)))


@pytest.mark.parametrize("codec_id", [codec.CODEC_DICTIONARY, codec.CODEC_SHARED, 0, 99])
def test_a_dictionary_is_of_no_other_dictionary(codec_id: int) -> None:
    with pytest.raises(FormatError):
        decode_dictionary(ENTRY._replace(codec=codec_id), STORED)


def test_lies_under_a_good_hash_are_refused() -> None:
    for change in ({"ids": 2_999}, {"ids": 3_001}, {"parameter": 9}, {"compression": 7}):
        with pytest.raises(FormatError):
            decode_dictionary(ENTRY._replace(**change), STORED)
    other = bytes(len(STORED))
    with pytest.raises(FormatError):
        decode_dictionary(ENTRY._replace(codec=codec.CODEC_CONSTANT, hash=blake3(other).digest()), other)


def test_the_row_is_as_the_page_says() -> None:
    page = (FOLDER / "archive.md").read_text()
    title = "offset:After the block entries"
    rows = next(rows for name, rows in tables(page).items() if name.startswith(title))
    assert [(int(row[0]), int(row[1])) for row in rows] == places(DICTIONARY_ENTRY)
    assert len(ENTRY.encode()) == DICTIONARY_ENTRY.size == 48
