from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import FormatError, FormatTooNew
from tidal.format.document import encode_document
from tidal.format.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_FORMAT,
    ListedSegment,
    Manifest,
    decode_manifest,
    encode_manifest,
)
from tidal.format.segment import NO_HASH

PAGE = (Path(__file__).parents[2] / "docs" / "format" / "manifest.md").read_text(encoding="utf-8")
HASHES = st.binary(min_size=32, max_size=32)
STORE_ID = bytes(range(16))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    start = draw(st.integers(1, 2**40))
    last, listed = start - 1, []
    for gap, events in draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10**6)), max_size=4)):
        base = last + gap
        last = base + events - 1
        listed.append(ListedSegment(base, last, draw(st.integers(1, 2**30)), draw(HASHES)))
    return Manifest(
        draw(st.binary(min_size=16, max_size=16)), draw(st.integers(0, 2**64 - 1)), draw(st.booleans()),
        start, NO_HASH if start == 1 else draw(HASHES), tuple(listed), draw(st.integers(0, 65535)),
        draw(st.integers(0, 65535)),
    )  # fmt: skip


@given(manifests())
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_where_it_ends() -> None:
    empty = Manifest(STORE_ID, 1, True, 7, b"x" * 32)
    assert (empty.last_seq, empty.head_hash) == (6, b"x" * 32)
    full = Manifest(STORE_ID, 1, True, 7, b"x" * 32, (ListedSegment(7, 9, 500, b"y" * 32),))
    assert (full.last_seq, full.head_hash) == (9, b"y" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"store_id": "00"}, {"store_id": 5}, {"store_id": "G" * 32}, {"epoch": -1}, {"epoch": 2**64},
        {"epoch": 1.0}, {"epoch": True}, {"region": 65536}, {"shard": -1}, {"clean": 1}, {"clean": None},
        {"start_seq": 0}, {"start_seq": "1"}, {"start_seq": 2**64}, {"start_hash": "00" * 31},
        {"start_hash": "AB" * 32}, {"start_hash": "11" * 32}, {"segments": {}}, {"segments": [1]},
        {"segments": [{}]}, {"format": 0}, {"more": 1},
    ],
)  # fmt: skip
def test_what_is_never_written_is_refused(change: dict) -> None:
    body = json.loads(encode_manifest(Manifest(STORE_ID, 1, True)))
    del body["blake3"]
    with pytest.raises(FormatError):
        decode_manifest(encode_document(body | change))


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 5, 9)], [(1, 0, 9)], [(2, 1, 9)], [(1, 5, 0)], [(1, 5, 9), (5, 6, 9)], [(6, 9, 9), (1, 5, 9)],
        [(1, 2**64, 9)], [(True, 5, 9)],
    ],
)  # fmt: skip
def test_segments_that_no_log_has_are_refused(rows: list[tuple[int, int, int]]) -> None:
    body = json.loads(encode_manifest(Manifest(STORE_ID, 1, True)))
    del body["blake3"]
    segments = [
        {"base_seq": base, "last_seq": last, "size": size, "final_hash": "00" * 32}
        for base, last, size in rows
    ]
    with pytest.raises(FormatError):
        decode_manifest(encode_document(body | {"segments": segments}))


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(FormatTooNew):
        decode_manifest(encode_document({"format": MANIFEST_FORMAT + 1}))


def test_the_limit_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(FormatError, match=f"at most {MANIFEST_BYTES_MAX}"):
        decode_manifest(bytes(MANIFEST_BYTES_MAX + 1))


def test_the_page_has_the_fields_and_its_example_is_good() -> None:
    example = re.search(r"```json\n(.*?)```", PAGE, re.S)
    assert example is not None
    manifest = decode_manifest(example[1].encode())
    assert encode_manifest(manifest) == example[1].encode()
    for fields, row in (
        (json.loads(example[1]), "| `%s` |"),
        (json.loads(example[1])["segments"][0], "| `%s` |"),
    ):
        assert [field for field in fields if row % field not in PAGE] == []
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    assert documented == set(json.loads(example[1])) | set(json.loads(example[1])["segments"][0])
    assert f"{MANIFEST_FORMAT}, the format of the manifest" in PAGE
    assert f"at most {MANIFEST_BYTES_MAX} bytes" in " ".join(PAGE.split())
