from __future__ import annotations

import struct

import blake3
import pytest

from tidal.errors import FormatError, FormatTooNew
from tidal.format import segment as fmt

LOG = fmt.LogIdentity(bytes(range(16)), epoch=9, region=3, shard=65_535)
HEADER = fmt.SegmentHeader(LOG, base_seq=100, created_at=-5, previous=bytes(range(32)))
SEAL = fmt.Seal(
    last_seq=109, events=10, batches=2, min_time=-4, max_time=4, types=bytes(31) + b"\1", final_hash=bytes(32)
)


def header_by_hand(
    version: int = 1, min_reader: int = 1, flags: int = 0, reserved: int = 0, base: int = 100,
    previous: bytes = HEADER.previous,
) -> bytes:  # fmt: skip
    head = b"tidalwal" + struct.pack("<HHI", version, min_reader, flags) + LOG.store_id
    head += struct.pack("<QHHIQq", 9, 3, 65_535, reserved, base, -5) + previous
    return head + blake3.blake3(b"tidal log segment 1\0" + head).digest()


def seal_by_hand(
    version: int = 1, flags: int = 0, reserved: int = 0, events: int = 10, batches: int = 2
) -> bytes:
    head = b"TdlS" + struct.pack("<HHQQII", version, flags, 109, events, batches, reserved)
    head += struct.pack("<qq", -4, 4) + SEAL.types + SEAL.final_hash
    place = HEADER.identity + struct.pack("<Q", 500)
    return head + blake3.blake3(b"tidal log seal 1\0" + place + head).digest()


def test_bytes_are_as_drawn() -> None:
    assert HEADER.encode() == header_by_hand()
    assert SEAL.encode(HEADER.identity, 500) == seal_by_hand()


def test_header_and_seal_come_back() -> None:
    assert fmt.decode_segment_header(memoryview(header_by_hand() + b"more"))[0] == HEADER
    assert fmt.decode_seal(memoryview(seal_by_hand()), 500, HEADER.identity) == SEAL


def test_every_flipped_bit_of_a_header_is_seen() -> None:
    data = bytearray(header_by_hand())
    for bit in range(8 * len(data)):
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            fmt.decode_segment_header(memoryview(data))
        data[bit >> 3] ^= 1 << (bit & 7)


def test_every_flipped_bit_of_a_seal_is_seen() -> None:
    data = bytearray(seal_by_hand())
    for bit in range(8 * len(data)):
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            fmt.decode_seal(memoryview(data), 500, HEADER.identity)
        data[bit >> 3] ^= 1 << (bit & 7)


def test_a_seal_is_bound_to_its_place() -> None:
    for offset, identity in ((501, HEADER.identity), (500, HEADER.identity[::-1])):
        with pytest.raises(FormatError, match="hash"):
            fmt.decode_seal(memoryview(seal_by_hand()), offset, identity)


@pytest.mark.parametrize("changes", [{"min_reader": 2}, {"flags": 1}, {"flags": 1 << 15}])
def test_a_newer_segment_is_named_so(changes: dict[str, int]) -> None:
    with pytest.raises(FormatTooNew, match="upgrade"):
        fmt.decode_segment_header(memoryview(header_by_hand(**changes)))


@pytest.mark.parametrize("changes", [{"version": 2}, {"flags": 1 << 16}])
def test_a_newer_version_that_says_it_can_be_read_is_read(changes: dict[str, int]) -> None:
    assert fmt.decode_segment_header(memoryview(header_by_hand(**changes)))[0] == HEADER


@pytest.mark.parametrize("changes", [{"reserved": 1}, {"base": 0}, {"base": 1}, {"version": 0}])
def test_header_values_that_are_never_written_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="never written"):
        fmt.decode_segment_header(memoryview(header_by_hand(**changes)))


@pytest.mark.parametrize("changes", [{"reserved": 1}, {"batches": 0}, {"batches": 11}])
def test_seal_values_that_are_never_written_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError, match="never written"):
        fmt.decode_seal(memoryview(seal_by_hand(**changes)), 500, HEADER.identity)


@pytest.mark.parametrize("changes", [{"version": 2}, {"flags": 1}])
def test_a_newer_seal_is_named_so(changes: dict[str, int]) -> None:
    with pytest.raises(FormatTooNew, match="upgrade"):
        fmt.decode_seal(memoryview(seal_by_hand(**changes)), 500, HEADER.identity)


@pytest.mark.parametrize(
    ("region", "shard", "name"),
    [(0, 0, "wal-00000000000000000042.seg"), (1, 0, "wal-r00001-s00000-00000000000000000042.seg")],
)
def test_names(region: int, shard: int, name: str) -> None:
    assert fmt.segment_name(fmt.LogIdentity(bytes(16), 1, region, shard), 42) == name
    assert fmt.parse_segment_name(name) == (region, shard, 42)


@pytest.mark.parametrize(
    "name",
    [
        "wal-42.seg",
        "wal-00000000000000000042.seg.tmp",
        "wal-00000000000000000000.seg",
        "wal-99999999999999999999.seg",
        "wal-r00000-s00000-00000000000000000042.seg",
        "wal-r65536-s00001-00000000000000000042.seg",
        "wal-٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٤٢.seg",
        "wal-00000000000000000042.seg\n",
    ],
)
def test_other_names_are_no_segments(name: str) -> None:
    assert fmt.parse_segment_name(name) is None


@pytest.mark.parametrize(
    "values", [(b"short", 1, 0, 0), (bytes(16), -1, 0, 0), (bytes(16), 1, 65_536, 0), (bytes(16), 1, 0, -1)]
)
def test_an_identity_that_does_not_fit_is_refused(values: tuple[bytes, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"store id|epoch|region"):
        fmt.LogIdentity(*values)
