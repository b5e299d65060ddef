"""Frames: how a batch lies in a segment of the log.

    +-------------------------------+--------------+----------------------------+
    | header <64>                   | link <32>    | payload <payload length>   |
    +-------------------------------+--------------+----------------------------+

    header:
    +-----------+-------------+-----------+---------------+-----------+
    | magic <4> | version <2> | flags <2> | first seq <8> | count <4> |
    +-----------+--------+----+-----------+---+-----------+-----------+
    | payload length <4> | durable seq <8>    | hash <32>             |
    +--------------------+--------------------+-----------------------+

The *link* is the hash of the frame before, or the segment header's hash for the first. The *hash* is
BLAKE3 over: a domain string, the segment's identity (store, epoch, region, shard, base sequence), the
frame's offset in the file, the link, the header up to the hash, and the BLAKE3 digest of the payload.
So no byte can change, move, or come from another file unseen; and the payload's digest, the long part
of the work, needs nothing that is only known once the frame has its place. What is hashed in order,
under a lock, is less than 200 bytes.

Because the link is stored, a frame can be checked by itself, when all before it is damaged. That is how
a torn tail is told from damage in the middle: ``durable seq`` says up to where the log was known to be
on the disk when the frame was written, so a whole frame after a damaged one convicts it of having been
durable. That the chain has no gap is checked by comparing each link with the hash before it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import blake3

from tidal.errors import FormatError, FormatTooNew
from tidal.format.payload import EVENTS_PER_BATCH_MAX, PAYLOAD_BYTES_MAX, SUMMARY, EncodedPayload

# These numbers are on disk and do not change.
FRAME_MAGIC: Final = b"TdlB"
FRAME_VERSION: Final = 1
FRAME_HEADER: Final = struct.Struct("<4sHHQIIQ32s")  # as drawn above
HASH_BYTES: Final = 32
LINK_OFFSET: Final = FRAME_HEADER.size
PAYLOAD_OFFSET: Final = LINK_OFFSET + HASH_BYTES
FRAME_BYTES_MAX: Final = PAYLOAD_OFFSET + PAYLOAD_BYTES_MAX
SEQ_MAX: Final = (1 << 64) - 1

_HASHED_BYTES = FRAME_HEADER.size - HASH_BYTES
_HASHED_PART = struct.Struct("<4sHHQIIQ")
_DOMAIN = b"tidal log frame 1\0"
_OFFSET = struct.Struct("<Q")


class Frame(NamedTuple):
    """A frame whose hash was checked; ``offset`` and ``end`` are places in its file."""

    offset: int
    end: int
    first_seq: int
    events: int
    durable_seq: int
    link: bytes
    hash: bytes

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.events - 1

    @property
    def payload(self) -> slice:
        """Where the payload lies in the file."""
        return slice(self.offset + PAYLOAD_OFFSET, self.end)


def claimed_size(head: bytes) -> int:
    """Return how many bytes the frame has that seems to begin with these, before its hash is checked; or
    FormatError.
    """
    if len(head) < PAYLOAD_OFFSET:
        raise FormatError("the file ends in a batch's header")
    magic, _, _, _, _, payload_bytes, _, _ = FRAME_HEADER.unpack_from(head)
    if magic != FRAME_MAGIC or payload_bytes > PAYLOAD_BYTES_MAX:
        raise FormatError("no batch begins here")
    return PAYLOAD_OFFSET + int(payload_bytes)


def encode_frame(
    encoded: EncodedPayload, *, first_seq: int, durable_seq: int, link: bytes, offset: int, identity: bytes
) -> tuple[bytes, bytes]:
    """Return (header and link, hash) of a frame; the payload follows them in the file.

    ``identity`` is the segment's, as SegmentHeader.identity packs it.
    """
    if not 0 <= durable_seq < first_seq <= SEQ_MAX - encoded.events:
        raise ValueError(f"sequence {first_seq} with durable sequence {durable_seq}")
    if len(encoded.payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(encoded.payload)} bytes; the most is {PAYLOAD_BYTES_MAX}")
    hashed = _HASHED_PART.pack(
        FRAME_MAGIC, FRAME_VERSION, 0, first_seq, encoded.events, len(encoded.payload), durable_seq
    )
    own = _hash(identity, offset, link, hashed, encoded.digest)
    return b"".join((hashed, own, link)), own


def claimed_end(data: memoryview, offset: int) -> int:
    """Return where in data the frame that seems to begin there ends, before its hash is checked; or
    FormatError.
    """
    if len(data) - offset < PAYLOAD_OFFSET:
        raise FormatError("the file ends in a batch's header")
    magic, _, _, _, _, payload_bytes, _, _ = FRAME_HEADER.unpack_from(data, offset)
    if magic != FRAME_MAGIC:
        raise FormatError("no batch begins here")
    payload_at = offset + PAYLOAD_OFFSET
    if not SUMMARY.size <= payload_bytes <= PAYLOAD_BYTES_MAX or payload_bytes > len(data) - payload_at:
        raise FormatError(f"a payload of {payload_bytes} bytes goes beyond the file, or its limits")
    return int(payload_at + payload_bytes)


def decode_frame(data: memoryview, offset: int, identity: bytes, start: int = 0) -> Frame:
    """Return the frame at this offset of a segment, its hash checked; FormatError if there is no good one.

    ``start`` is the place in the segment that data begins at. FormatTooNew if the hash is good and the
    version or a flag is not known here: then the frame is whole, and written by a newer tidal.
    """
    begin = offset - start
    end = claimed_end(data, begin)
    _, version, flags, first_seq, events, _, durable_seq, own = FRAME_HEADER.unpack_from(data, begin)
    payload_at = begin + PAYLOAD_OFFSET
    link = bytes(data[begin + LINK_OFFSET : payload_at])
    digest = blake3.blake3(data[payload_at:end]).digest()
    if own != _hash(identity, offset, link, bytes(data[begin : begin + _HASHED_BYTES]), digest):
        raise FormatError("the batch's hash does not match its bytes")
    if version != FRAME_VERSION or flags:
        raise FormatTooNew(f"a batch of version {version} with flags {flags:#x}; upgrade tidal to read it")
    if not 1 <= events <= EVENTS_PER_BATCH_MAX or not durable_seq < first_seq <= SEQ_MAX - events:
        raise FormatError(f"a batch of {events} events from {first_seq}, durable to {durable_seq}")
    return Frame(offset, start + end, first_seq, events, durable_seq, link, own)


def _hash(identity: bytes, offset: int, link: bytes, hashed: bytes, digest: bytes) -> bytes:
    return blake3.blake3(b"".join((_DOMAIN, identity, _OFFSET.pack(offset), link, hashed, digest))).digest()
