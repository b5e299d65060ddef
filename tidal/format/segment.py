"""Segments: files of the log. A header, frames (see frame.py), and a seal once nothing more will come.

    +---------------+---------+---------+-----+-------------------+
    | header <128>  | frame   | frame   | ... | seal <144>        |
    +---------------+---------+---------+-----+-------------------+

    header:
    +-----------+-------------+-----------------+-----------+---------------+-----------+------------+
    | magic <8> | version <2> | min reader <2>  | flags <4> | store id <16> | epoch <8> | region <2> |
    +-----------+--+----------+---+-------------+---+-------+---------------+-----------+------------+
    | shard <2>    | reserved <4> | base seq <8>    | created at <8> | previous <32> | hash <32>       |
    +--------------+--------------+-----------------+----------------+---------------+-----------------+

    seal:
    +-----------+-------------+-----------+---------------+-------------+-------------+--------------+
    | magic <4> | version <2> | flags <2> | last seq <8>  | events <8>  | batches <4> | reserved <4> |
    +-----------+---+---------+-----+-----+------+--------+-------+-----+-----+-------+--------------+
    | min time <8>  | max time <8>  | types <32> | final hash <32> | hash <32>  |
    +---------------+---------------+------------+-----------------+------------+

*Previous* is the final hash of the segment before (zeros at sequence 1), *final hash* that of the last
frame: so the segments are one chain. The seal is written and synced before the next segment's file
is made; a segment without one that is not the last is damaged. It repeats what the frames' summaries
say together, so that a reader can pass a segment by after reading only its two ends.

The magic, version, min reader, flags and hash of the header stay where they are in every version, so
that damage is not mistaken for a newer format. A reader refuses a segment whose min reader is above
its own version, and one with a flag in the low 16 bits that it does not know; the high 16 are hints.
"""

from __future__ import annotations

import re
import struct
from typing import Final

import blake3

from tidal.errors import FormatError, FormatTooNew, InvalidOption
from tidal.format.payload import TypeSet
from tidal.records import record

# These numbers are on disk and do not change.
SEGMENT_MAGIC: Final = b"tidalwal"
SEGMENT_VERSION: Final = 1
SEGMENT_HEADER: Final = struct.Struct("<8sHHI16sQHH4sQq32s32s")
SEAL_MAGIC: Final = b"TdlS"
SEAL_VERSION: Final = 1
SEAL: Final = struct.Struct("<4sHHQQI4sqq32s32s32s")
STORE_ID_BYTES: Final = 16
REQUIRED_FLAGS: Final = 0xFFFF
NO_HASH: Final = bytes(32)  # what comes before the first segment

_HASH_BYTES = 32
_IDENTITY = struct.Struct("<16sQHHQ")
_OFFSET = struct.Struct("<Q")
_HEADER_DOMAIN = b"tidal log segment 1\0"
_SEAL_DOMAIN = b"tidal log seal 1\0"
_PLACE = re.compile(r"(?:r(\d{5})-s(\d{5})-)?(\d{20})", re.ASCII)
_PREFIX, _SUFFIX = "wal-", ".seg"
U16_MAX: Final = (1 << 16) - 1


@record
class LogIdentity:
    """Whose log it is. The epoch is raised each time that a store is opened for writing."""

    store_id: bytes
    epoch: int
    region: int = 0
    shard: int = 0

    def __post_init__(self) -> None:
        if len(self.store_id) != STORE_ID_BYTES:
            raise ValueError(f"a store id has {STORE_ID_BYTES} bytes, not {len(self.store_id)}")
        if not 0 <= self.epoch < 1 << 64:
            raise ValueError(f"epoch {self.epoch} is not a u64")
        if not (0 <= self.region <= U16_MAX and 0 <= self.shard <= U16_MAX):
            raise ValueError(f"region {self.region} and shard {self.shard} must each be in 0 .. {U16_MAX}")


def segment_name(identity: LogIdentity, base_seq: int) -> str:
    """Return the file name of the segment that begins at this sequence.

    >>> segment_name(LogIdentity(bytes(16), epoch=1), 42)
    'wal-00000000000000000042.seg'
    """
    return place_name(identity, base_seq, _PREFIX, _SUFFIX)


def checked_place_number(said: str, number: object) -> int:
    """Return the number of a region or a shard; InvalidOption, which repeats what was said, for any other."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= U16_MAX:
        raise InvalidOption(f"{said}: choose an integer from 0 to {U16_MAX}")
    return int(number)


def parse_segment_name(name: str) -> tuple[int, int, int] | None:
    """Return (region, shard, base seq), or None if this is not how a segment is named."""
    return parse_place_name(name, _PREFIX, _SUFFIX)


def place_name(identity: LogIdentity, base_seq: int, prefix: str, suffix: str) -> str:
    """Return the name of a file of the part of a log that begins at this sequence."""
    place = f"r{identity.region:05}-s{identity.shard:05}-" if identity.region or identity.shard else ""
    return f"{prefix}{place}{base_seq:020}{suffix}"


def parse_place_name(name: str, prefix: str, suffix: str) -> tuple[int, int, int] | None:
    """Return (region, shard, base seq) of a name that place_name makes, None of any other."""
    if not (name.startswith(prefix) and name.endswith(suffix)):
        return None
    if (match := _PLACE.fullmatch(name[len(prefix) : len(name) - len(suffix)])) is None:
        return None
    region, shard, base_seq = (int(part or 0) for part in match.groups())
    plain = match[1] is None
    if plain != (region == shard == 0) or region > U16_MAX or shard > U16_MAX or not 0 < base_seq < 1 << 64:
        return None
    return region, shard, base_seq


@record
class SegmentHeader:
    """The first 128 bytes of a segment."""

    log: LogIdentity
    base_seq: int
    created_at: int  # wall time, ns
    previous: bytes

    @property
    def name(self) -> str:
        """What the segment's file must be called."""
        return segment_name(self.log, self.base_seq)

    @property
    def identity(self) -> bytes:
        """What every frame and the seal of this segment hash in."""
        log = self.log
        return _IDENTITY.pack(log.store_id, log.epoch, log.region, log.shard, self.base_seq)

    def encode(self) -> bytes:
        log = self.log
        head = SEGMENT_HEADER.pack(
            SEGMENT_MAGIC, SEGMENT_VERSION, SEGMENT_VERSION, 0, log.store_id, log.epoch, log.region,
            log.shard, bytes(4), self.base_seq, self.created_at, self.previous, bytes(_HASH_BYTES),
        )[:-_HASH_BYTES]  # fmt: skip
        return head + _header_hash(head)


def decode_segment_header(data: memoryview) -> tuple[SegmentHeader, bytes]:
    """Return the header and its hash; FormatError if it is damaged, FormatTooNew if this tidal is too old."""
    if len(data) < SEGMENT_HEADER.size:
        raise FormatError("the file ends in the segment's header")
    (magic, version, min_reader, flags, store_id, epoch, region, shard,
     reserved, base_seq, created_at, previous, own) = SEGMENT_HEADER.unpack_from(data)  # fmt: skip
    if magic != SEGMENT_MAGIC:
        raise FormatError("this is no segment of a log")
    if own != _header_hash(bytes(data[: SEGMENT_HEADER.size - _HASH_BYTES])):
        raise FormatError("the segment header's hash does not match its bytes")
    if min_reader > SEGMENT_VERSION or flags & REQUIRED_FLAGS:
        raise FormatTooNew(
            f"a log segment of version {version} (needs a reader of version {min_reader}, flags {flags:#x}); "
            f"this tidal reads version {SEGMENT_VERSION}: upgrade it"
        )
    if not version or any(reserved) or base_seq < 1 or (base_seq == 1 and previous != NO_HASH):
        raise FormatError("the segment's header has values that are never written")
    return SegmentHeader(LogIdentity(store_id, epoch, region, shard), base_seq, created_at, previous), own


def _header_hash(head: bytes) -> bytes:
    return blake3.blake3(_HEADER_DOMAIN + head).digest()


@record
class Seal:
    """The last 144 bytes of a finished segment: what all its frames say together."""

    last_seq: int
    events: int
    batches: int
    min_time: int
    max_time: int
    types: TypeSet
    final_hash: bytes

    def encode(self, identity: bytes, offset: int) -> bytes:
        """Return the bytes of the seal at this offset of the segment with this identity."""
        head = SEAL.pack(
            SEAL_MAGIC, SEAL_VERSION, 0, self.last_seq, self.events, self.batches, bytes(4),
            self.min_time, self.max_time, self.types, self.final_hash, bytes(_HASH_BYTES),
        )[:-_HASH_BYTES]  # fmt: skip
        return head + _seal_hash(identity, offset, head)


def decode_seal(data: memoryview, offset: int, identity: bytes) -> Seal:
    """Return the seal that data begins with; offset is its place in the file. Errors as decode_frame."""
    if len(data) < SEAL.size:
        raise FormatError("the file ends in a seal")
    (magic, version, flags, last_seq, events, batches, reserved,
     min_time, max_time, types, final_hash, own) = SEAL.unpack_from(data)  # fmt: skip
    if magic != SEAL_MAGIC:
        raise FormatError("no seal begins here")
    if own != _seal_hash(identity, offset, bytes(data[: SEAL.size - _HASH_BYTES])):
        raise FormatError("the seal's hash does not match its bytes")
    if version != SEAL_VERSION or flags:
        raise FormatTooNew(f"a seal of version {version} with flags {flags:#x}; upgrade tidal to read it")
    if any(reserved) or not 1 <= batches <= events or min_time > max_time or not any(types):
        raise FormatError("the seal has values that are never written")
    return Seal(last_seq, events, batches, min_time, max_time, types, final_hash)


def _seal_hash(identity: bytes, offset: int, head: bytes) -> bytes:
    return blake3.blake3(b"".join((_SEAL_DOMAIN, identity, _OFFSET.pack(offset), head))).digest()
