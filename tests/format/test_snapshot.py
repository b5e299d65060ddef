"""The checkpoint format: round trips, every damage found, the page and the golden file true to it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from tidal.errors import FormatTooNew
from tidal.format import snapshot
from tidal.format.snapshot import (
    BYTES_DTYPE,
    DTYPES,
    ENTRY_FIELDS,
    HEADER_BYTES,
    HEADER_DOMAIN,
    HEADER_FIELDS,
    Codec,
    DamagedSnapshot,
    Section,
    SnapshotHeader,
    checkpoint_name,
    decode_directory,
    decode_header,
    decode_section,
    encode_snapshot,
    parse_checkpoint_name,
)

DOCS = Path(__file__).parents[2] / "docs/format/checkpoint.md"
GOLDEN = Path(__file__).parents[1] / "data/format/v1"
ENTRY_BYTES = 192

IDENTITY: dict[str, Any] = {"seq": 42, "store_id": bytes(range(16)), "epoch": 3, "log_hash": bytes(range(32))}
GOLDEN_META = {
    "clock_ns": {"view": 1_700_000_000_000_000_000},
    "id": 2**64 - 1,
    "name": "Ebbe und Flut: größer",
}
GOLDEN_SECTIONS: dict[str, Section] = {
    "view.ids": np.array([0, 1, 2**63, 2**64 - 1], np.uint64),
    "view.sums": np.array([[0.5, -0.0, 1e300], [1.0, 2.0, 3.0]]),
    "view.counts": np.arange(200, dtype=np.uint32).reshape(50, 4),
    "view.flags": np.array([True, False]),
    "view.none": np.zeros((0, 3), np.int16),
    "view.clock": np.array(7, np.int64),
    "user/notes": b"\x00\xffbytes",
    "user/empty": b"",
}


def encode(
    sections: dict[str, Section], meta: dict[str, Any] | None = None, compress: tuple[str, ...] = ()
) -> bytes:
    _, parts = encode_snapshot(**IDENTITY, meta=meta or {}, sections=sections, compress=compress)
    return b"".join(bytes(part) for part in parts)


def decode(data: bytes) -> tuple[SnapshotHeader, dict[str, Any], dict[str, Section]]:
    header = decode_header(data[:HEADER_BYTES], len(data))
    entries, meta = decode_directory(header, data[HEADER_BYTES : header.sections_offset])
    return (
        header,
        meta,
        {
            entry.name: decode_section(entry, data[entry.offset : entry.offset + entry.padded_bytes])
            for entry in entries
        },
    )


def assert_equal(actual: dict[str, Section], expected: dict[str, Section]) -> None:
    assert sorted(actual) == sorted(expected)
    for name, value in expected.items():
        found = actual[name]
        if isinstance(value, bytes):
            assert found == value
        else:
            assert isinstance(found, np.ndarray)
            assert (found.dtype, found.shape) == (value.dtype.newbyteorder("<"), value.shape)
            assert found.tobytes() == np.asarray(value, dtype=found.dtype, order="C").tobytes()
            assert not found.flags.writeable


def golden_bytes() -> bytes:
    return encode(GOLDEN_SECTIONS, GOLDEN_META)


# ---------------------------------------------------------------------------------- round trips

arrays = np_st.arrays(
    st.sampled_from([np.dtype(code) for code in DTYPES] + [np.dtype(">u4"), np.dtype(">f8")]),
    np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
section_names = st.text("abcXYZ019_.:/-", min_size=1, max_size=88)
section_maps = st.dictionaries(section_names, arrays | st.binary(max_size=200), max_size=5)
metas = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=4)


@given(section_maps, metas, st.booleans())
def test_round_trip(sections: dict[str, Section], meta: dict[str, Any], compressed: bool) -> None:
    data = encode(sections, meta, tuple(sections) if compressed else ())
    header, found_meta, found = decode(data)
    assert (header.seq, header.store_id, header.epoch, header.log_hash) == tuple(IDENTITY.values())
    assert found_meta == meta
    assert_equal(found, sections)
    assert len(data) % 64 == 0


def test_strides_are_resolved() -> None:
    value = np.arange(24, dtype=np.int32).reshape(4, 6)[::2, ::-1].T
    _, _, found = decode(encode({"a": value}))
    assert np.array_equal(found["a"], value)


def test_the_same_content_has_the_same_bytes() -> None:
    backwards = dict(reversed(GOLDEN_SECTIONS.items()))
    assert encode(backwards, dict(reversed(GOLDEN_META.items()))) == golden_bytes()
    assert encode(backwards, compress=("view.ids",)) == encode(GOLDEN_SECTIONS, compress=("view.ids",))


def test_a_raw_array_is_a_view_of_the_bytes_read() -> None:
    data = encode({"a": np.arange(8, dtype=np.uint64)})
    header = decode_header(data[:HEADER_BYTES], len(data))
    (entry,), _ = decode_directory(header, data[HEADER_BYTES : header.sections_offset])
    read = data[entry.offset :]
    array = decode_section(entry, read)
    assert np.shares_memory(np.asarray(array), np.frombuffer(read, np.uint8))


def test_compression_is_smaller() -> None:
    value = np.arange(100_000, dtype=np.uint64)
    assert len(encode({"a": value}, compress=("a",))) < len(encode({"a": value})) / 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store_id": b"short"}, "they have 16 and 32"),
        ({"log_hash": b""}, "they have 16 and 32"),
        ({"sections": {"": b""}}, "section name ''"),
        ({"sections": {"a" * 89: b""}}, "1 to 88 characters"),
        ({"sections": {"größe": b""}}, "section name 'größe'"),
        ({"sections": {"a": np.zeros(2, "u8,f8")}}, "store a record's fields as sections"),
        ({"sections": {"a": np.array(["text"])}}, "dtype <U4 is not one of"),
        ({"sections": {"a": np.array([None])}}, "dtype object is not one of"),
        ({"sections": {"a": np.zeros((1, 1, 1, 1, 1))}}, "5 dimensions, at most 4"),
        ({"meta": {"a": float("nan")}}, "not JSON compliant"),
        ({"compress": ("b",)}, "compress names no section: b"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        encode_snapshot(**{**IDENTITY, "meta": {}, "sections": {}, **change})


def test_names() -> None:
    assert parse_checkpoint_name(checkpoint_name(0)) == 0
    assert parse_checkpoint_name(checkpoint_name(2**64 - 1)) == 2**64 - 1
    for name in ("checkpoint-1.ckpt", checkpoint_name(1) + ".tmp", "x" + checkpoint_name(1), "wal", ""):
        assert parse_checkpoint_name(name) is None


# ---------------------------------------------------------------------------------- damage


def test_every_flipped_bit_is_found() -> None:
    good = encode({"a": np.arange(5, dtype=np.uint16), "b": b"text" * 9}, {"clock": 5}, compress=("b",))
    decode(good)
    for bit in range(len(good) * 8):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedSnapshot):
            decode(bytes(data))


def test_every_cut_is_found() -> None:
    good = golden_bytes()
    for length in range(len(good)):
        with pytest.raises(DamagedSnapshot):
            decode(good[:length])
    for more in (b"\0", bytes(64), good):
        with pytest.raises(DamagedSnapshot, match="its header says"):
            decode(good + more)


def test_swapped_sections_are_found() -> None:
    good = encode({"a": bytes(64), "b": b"\1" * 64})
    with pytest.raises(DamagedSnapshot, match="section 'a' does not match its digest"):
        decode(good[:-128] + good[-64:] + good[-128:-64])


def field_place(fields: tuple[tuple[str, str], ...], name: str) -> tuple[int, str]:
    offset = 0
    for field, form in fields:
        if field == name:
            return offset, "<" + form
        offset += struct.calcsize("<" + form)
    raise LookupError(name)


def forge(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    """Change a file and put every digest of header and directory right: what a hash cannot find."""
    forged = bytearray(data)
    change(forged)
    header = decode_header(data[:HEADER_BYTES], len(data))
    directory = forged[HEADER_BYTES : HEADER_BYTES + header.directory_bytes]
    forged[128:160] = blake3(bytes(directory)).digest()
    forged[160:192] = blake3(HEADER_DOMAIN + bytes(forged[:160])).digest()
    return bytes(forged)


def set_header(name: str, value: object) -> Callable[[bytearray], None]:
    place, form = field_place(HEADER_FIELDS, name)
    return lambda data: struct.pack_into(form, data, place, value)


def set_entry(name: str, value: object, index: int = 0) -> Callable[[bytearray], None]:
    place, form = field_place(ENTRY_FIELDS, name)
    return lambda data: struct.pack_into(form, data, HEADER_BYTES + index * ENTRY_BYTES + place, value)


BOUNDARIES = [0, 1, 63, 64, 2**31, 2**32 - 1, 2**32, 2**59, 2**63 - 1, 2**63, 2**64 - 64, 2**64 - 1]


@pytest.mark.parametrize("name", ["file_bytes", "section_count", "meta_bytes"])
@pytest.mark.parametrize("value", BOUNDARIES)
def test_a_lying_header_is_found(name: str, value: int) -> None:
    good = encode({"a": np.arange(5, dtype=np.uint16)}, {"clock": 5})
    place, form = field_place(HEADER_FIELDS, name)
    if value >= 2 ** (8 * struct.calcsize(form)) or value == struct.unpack_from(form, good, place)[0]:
        value = 3  # as wrong, and it fits
    with pytest.raises(DamagedSnapshot):
        decode(forge(good, set_header(name, value)))


@pytest.mark.parametrize("name", ["offset", "raw_bytes", "stored_bytes"])
@pytest.mark.parametrize("value", BOUNDARIES)
@pytest.mark.parametrize("compress", [(), ("a",)])
def test_a_lying_entry_is_found(name: str, value: int, compress: tuple[str, ...]) -> None:
    good = encode({"a": np.arange(500, dtype=np.uint16)}, compress=compress)
    with pytest.raises(DamagedSnapshot):
        decode(forge(good, set_entry(name, value)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_header("reserved", b"\1"), "reserved bytes of the header"),
        (set_entry("reserved", b"\1"), "cannot be"),
        (set_entry("name", b"\xff"), "cannot be"),
        (set_entry("name", b"a\0b"), "cannot be"),
        (set_entry("name", b"b", index=0), "order of their names"),
        (set_entry("dtype", b"|O"), "cannot be"),
        (set_entry("dtype", b"<u8"), "a length that its shape does not"),
        (set_entry("codec", 2), "unknown codec 2"),
        (set_entry("dimensions", 5), "a shape that cannot be"),
        (set_entry("dimensions", 0), "a shape that cannot be"),
        (set_entry("shape", struct.pack("<4Q", 2**63, 2, 0, 0)), "a shape that cannot be"),
        (set_entry("shape", struct.pack("<Q", 2**64 - 1)), "a length that its shape does not"),
    ],
)
def test_forged_fields_are_found(change: Callable[[bytearray], None], message: str) -> None:
    good = encode({"a": np.arange(5, dtype=np.uint16), "b": b"text"})
    with pytest.raises(DamagedSnapshot, match=message):
        decode(forge(good, change))


def test_a_huge_empty_shape_is_found() -> None:
    good = encode({"a": np.zeros((0, 1), np.uint64)})
    with pytest.raises(DamagedSnapshot, match="a length that its shape does not"):
        decode(forge(good, set_entry("shape", struct.pack("<4Q", 0, 2**62, 0, 0))))


@pytest.mark.parametrize("meta", [b"{", b"[]", b"nope", b"\xff", b"[" * 100_000])
def test_a_meta_that_is_no_object_is_found(meta: bytes) -> None:
    meta = meta.ljust(len('{"padding":""}'))  # white space means nothing in JSON
    good = encode({}, {"padding": "x" * (len(meta) - len('{"padding":""}'))})

    def change(data: bytearray) -> None:
        data[HEADER_BYTES : HEADER_BYTES + len(meta)] = meta

    with pytest.raises(DamagedSnapshot, match="the meta is not"):
        decode(forge(good, change))


def reframed(frame: bytes, raw_bytes: int) -> bytes:
    """A file whose one compressed section holds this frame, all digests right."""
    _, parts = encode_snapshot(**IDENTITY, meta={}, sections={"a": frame})
    data = b"".join(bytes(part) for part in parts)

    def change(forged: bytearray) -> None:
        set_entry("codec", Codec.ZSTD)(forged)
        set_entry("raw_bytes", raw_bytes)(forged)
        set_entry("shape", struct.pack("<4Q", raw_bytes, 0, 0, 0))(forged)

    return forge(data, change)


PLAIN = b"plain bytes " * 100


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN * 2), "its frame has another length"),
        (
            zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 30)),
            "its frame has another length",
        ),
        (zstandard.ZstdCompressor(write_checksum=False).compress(PLAIN), "its frame has another length"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)[:-9], "does not decompress"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)[:-1] + b"?", "does not decompress"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN) + b"more", "does not decompress"),
        (zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN) * 2, "does not decompress"),
        (b"no frame" * 20, "does not decompress"),
    ],
    ids=["longer", "bomb", "unchecked", "cut", "checksum", "trailing", "two frames", "no frame"],
)
def test_a_frame_is_not_trusted(frame: bytes, message: str) -> None:
    with pytest.raises(DamagedSnapshot, match=message):
        decode(reframed(frame, len(PLAIN)))


def test_an_expansion_that_cannot_be_is_refused_before_it_is_tried() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 20))
    with pytest.raises(DamagedSnapshot, match="a stored length that cannot be"):
        decode(reframed(frame, 1 << 40))


@given(st.binary(max_size=600))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedSnapshot):
        decode(data)


# ---------------------------------------------------------------------------------- versions


def test_a_newer_format_is_refused_by_name() -> None:
    good = golden_bytes()
    with pytest.raises(FormatTooNew, match="format 1, required flags 0x0; this tidal reads up to format 1"):
        decode(forge(good, set_header("reader_version_min", 2)))
    with pytest.raises(FormatTooNew, match="required flags 0x8000"):
        decode(forge(good, set_header("required_flags", 0x8000)))


def test_a_newer_writer_that_kept_this_reader_in_mind_is_read() -> None:
    data = forge(forge(golden_bytes(), set_header("version", 9)), set_header("optional_flags", 0xFFFF))
    assert_equal(decode(data)[2], GOLDEN_SECTIONS)


@pytest.mark.parametrize("name", ["checkpoint-raw.ckpt", "checkpoint-zstd.ckpt"])
def test_the_golden_files_are_read(name: str) -> None:
    header, meta, sections = decode((GOLDEN / name).read_bytes())
    assert (header.seq, header.store_id, header.epoch, header.log_hash) == tuple(IDENTITY.values())
    assert meta == GOLDEN_META
    assert_equal(sections, GOLDEN_SECTIONS)


def test_what_is_written_today_is_the_golden_file() -> None:
    # Only the raw one: the bytes of a frame may differ from one release of zstd to the next.
    assert golden_bytes() == (GOLDEN / "checkpoint-raw.ckpt").read_bytes()


# ---------------------------------------------------------------------------------- documentation


def documented(title: str, cells: int) -> list[tuple[str, ...]]:
    """The rows of the table whose header row begins with this title, their first cells without marks."""
    table = re.search(rf"^\| {re.escape(title)}.*\n\|[- |]+\n((?:\|.*\n)+)", DOCS.read_text(), re.MULTILINE)
    assert table is not None
    rows = [re.split(r"(?<!\\)\|", line)[1 : cells + 1] for line in table[1].splitlines()]
    return [tuple(cell.strip().strip("`").replace("\\", "") for cell in row) for row in rows]


def layout(fields: tuple[tuple[str, str], ...]) -> list[tuple[str, str, str]]:
    rows, offset = [], 0
    for name, form in fields:
        rows.append((str(offset), str(struct.calcsize("<" + form)), name))
        offset += struct.calcsize("<" + form)
    return rows


def test_the_documented_fields_are_the_fields() -> None:
    assert documented("offset | bytes | field", 3) == layout(HEADER_FIELDS)
    assert documented("offset | bytes | entry field", 3) == layout(ENTRY_FIELDS)


def test_the_documented_dtypes_and_codecs_are_those() -> None:
    assert [row[0] for row in documented("dtype", 1)] == [*DTYPES, BYTES_DTYPE]
    assert documented("codec", 2) == [(str(codec.value), codec.name) for codec in Codec]


def test_the_documented_constants_are_those() -> None:
    meanings = {row[2]: row[3] for row in documented("offset | bytes | field", 4)}
    assert meanings["magic"] == snapshot.MAGIC.decode()
    assert f"format of the writer, {snapshot.VERSION}" == meanings["version"]
    assert meanings["reader_version_min"].endswith(f", {snapshot.READER_VERSION_MIN}")
    assert f"`{HEADER_DOMAIN[:-1].decode()}`, a zero byte" in meanings["header_digest"]
    assert f"|  {HEADER_BYTES} bytes |" in DOCS.read_text()
