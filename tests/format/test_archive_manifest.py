"""The manifest of an archive: what is written is read, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from format_pages import FOLDER, tables

from tidal.errors import FormatError, FormatTooNew
from tidal.format.archive_manifest import (
    ARCHIVE_MANIFEST_BYTES_MAX,
    ArchivedFile,
    ArchiveManifest,
    SegmentEnd,
    decode_archive_manifest,
    encode_archive_manifest,
)
from tidal.format.document import encode_document

FILES = tuple(
    ArchivedFile(base, last, 1000, -5, 7, bytes([3]) + bytes(31), bytes([base]) * 32, bytes([last]) * 32)
    for base, last in ((11, 15), (16, 16), (17, 30))
)
MANIFEST = ArchiveManifest(bytes(range(16)), 11, bytes([9]) * 32, FILES, region=1, shard=2)
ENDS = SegmentEnd(20, bytes([20]) * 32), SegmentEnd(24, bytes([24]) * 32)
SEVERAL = replace(MANIFEST, files=(*FILES[:2], replace(FILES[2], segments=ENDS)))


def test_what_is_encoded_comes_back() -> None:
    for manifest in (MANIFEST, SEVERAL, replace(MANIFEST, files=()), ArchiveManifest(bytes(16))):
        assert decode_archive_manifest(encode_archive_manifest(manifest)) == manifest


def test_what_it_holds() -> None:
    assert (MANIFEST.last_seq, MANIFEST.head_hash, MANIFEST.size) == (30, bytes([17]) * 32, 3000)
    assert [file.events for file in FILES] == [5, 1, 14]
    empty = replace(MANIFEST, files=())
    assert (empty.last_seq, empty.head_hash, empty.size) == (10, bytes([9]) * 32, 0)


def test_files_are_found_by_sequence() -> None:
    found = {seq: file.base_seq for seq in range(40) if (file := MANIFEST.file_of(seq)) is not None}
    assert found == {seq: 11 if seq < 16 else 16 if seq < 17 else 17 for seq in range(11, 31)}
    assert MANIFEST.file_with(16, 16, bytes([16]) * 32) == FILES[1]
    for unlike in (
        (16, 17, bytes([16]) * 32),
        (16, 16, bytes(32)),
        (12, 15, bytes([11]) * 32),
        (31, 31, b""),
    ):
        assert MANIFEST.file_with(*unlike) is None


def test_segments_are_found_in_the_file_that_has_them() -> None:
    ends = (*ENDS, SegmentEnd(30, FILES[2].final_hash))
    for base, end in zip((17, 21, 25), ends, strict=True):
        assert SEVERAL.file_with(base, *end) == SEVERAL.files[2]
        assert SEVERAL.file_with(base, end.last_seq, bytes(32)) is None
        assert MANIFEST.file_with(base, *end) is None
    for base, last in ((17, 24), (17, 30), (21, 30), (18, 20), (22, 24), (20, 24)):
        for end in ends:
            assert SEVERAL.file_with(base, last, end.final_hash) is None
    assert SEVERAL.file_with(16, 16, bytes([16]) * 32) == FILES[1]


def test_files_of_one_segment_are_listed_as_ever() -> None:
    """So an older tidal reads the manifest unless there is a file of several."""
    formats = [json.loads(encode_archive_manifest(it))["format"] for it in (MANIFEST, SEVERAL)]
    assert formats == [1, 2]
    assert b"segments" not in encode_archive_manifest(MANIFEST)


@pytest.mark.parametrize("data", [encode_archive_manifest(MANIFEST), encode_archive_manifest(SEVERAL)])
def test_every_bit_is_under_the_hash(data: bytes) -> None:
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FormatError):
                decode_archive_manifest(bytes(damaged))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store_id", "00"),
        ("region", 1 << 16),
        ("shard", -1),
        ("start_seq", 0),
        ("start_seq", 12),
        ("start_seq", True),
        ("start_hash", "0" * 63),
        ("files", {}),
        ("files", [1]),
    ],
)
def test_values_that_are_never_written_are_refused(field: str, value: object) -> None:
    body = json.loads(encode_archive_manifest(MANIFEST))
    del body["blake3"]
    with pytest.raises(FormatError):
        decode_archive_manifest(encode_document({**body, field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_seq", 12),
        ("last_seq", 10),
        ("last_seq", 14),
        ("size", 0),
        ("min_time", 1 << 63),
        ("types", "00"),
        ("final_hash", None),
        ("header_hash", "Z" * 64),
        ("more", 1),
    ],
)
def test_files_that_are_never_listed_are_refused(field: str, value: object) -> None:
    body = json.loads(encode_archive_manifest(MANIFEST))
    del body["blake3"]
    body["files"][0][field] = value
    with pytest.raises(FormatError):
        decode_archive_manifest(encode_document(body))


@pytest.mark.parametrize(
    "segments",
    [
        None,
        [],
        {},
        [1],
        [{"last_seq": 20}],
        [{"last_seq": 16, "final_hash": "00" * 32}],
        [{"last_seq": 30, "final_hash": "00" * 32}],
        [{"last_seq": 20, "final_hash": "00" * 31}],
        [{"last_seq": "20", "final_hash": "00" * 32}],
        [{"last_seq": 20, "final_hash": "00" * 32, "more": 1}],
        [{"last_seq": 20, "final_hash": "00" * 32, "segments": []}],
        [{"last_seq": last, "final_hash": "00" * 32} for last in (20, 20)],
        [{"last_seq": last, "final_hash": "00" * 32} for last in (24, 20)],
    ],
)
def test_segments_that_are_never_listed_are_refused(segments: object) -> None:
    body = json.loads(encode_archive_manifest(SEVERAL))
    del body["blake3"]
    body["files"][2]["segments"] = segments
    for number in (1, 2):
        with pytest.raises(FormatError):
            decode_archive_manifest(encode_document({**body, "format": number}))


@pytest.mark.parametrize(("manifest", "number"), [(MANIFEST, 2), (SEVERAL, 1), (MANIFEST, 0)])
def test_the_format_is_that_of_the_files(manifest: ArchiveManifest, number: int) -> None:
    body = json.loads(encode_archive_manifest(manifest))
    del body["blake3"]
    with pytest.raises(FormatError):
        decode_archive_manifest(encode_document({**body, "format": number}))


def test_a_newer_format_is_told_from_damage() -> None:
    body = json.loads(encode_archive_manifest(MANIFEST))
    del body["blake3"]
    with pytest.raises(FormatTooNew):
        decode_archive_manifest(encode_document({**body, "format": 3, "more": 1}))


def test_an_archive_from_the_beginning_follows_nothing() -> None:
    with pytest.raises(ValueError, match="begins at 1"):
        ArchiveManifest(bytes(16), 1, bytes([1]) * 32)


def test_the_page_has_the_fields() -> None:
    page = (FOLDER / "archive.md").read_text()
    found = tables(page)
    body = json.loads(encode_archive_manifest(SEVERAL))

    def fields(line: str) -> set[str]:
        rows = next(rows for name, rows in found.items() if line in name)
        return {row[0].strip("`") for row in rows}

    assert fields("its own hash, of at most") == body.keys()
    assert fields("Each file") == body["files"][2].keys()
    assert fields("Each segment") == body["files"][2]["segments"][0].keys()
    assert f"at most {ARCHIVE_MANIFEST_BYTES_MAX} bytes" in page
