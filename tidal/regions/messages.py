"""The messages of regions: sealed with a hash, and large ones in pieces.

::

    +-----------+-------------+----------+------------+------------+-----------+-----------+
    | magic <4> | version <1> | kind <1> | sender <2> | group <16> | hash <32> | body      |
    +-----------+-------------+----------+------------+------------+-----------+-----------+

The hash is BLAKE3 over a domain string, all that stands before it, and the body. The group is that of the
regions which share a state: what has another one is of another application, or of another schema.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from blake3 import blake3

from tidal.errors import FormatError, FormatTooNew
from tidal.regions.coding import Reader

MAGIC: Final = b"TdlG"
VERSION: Final = 1
GROUP_BYTES: Final = 16
_HEAD: Final = struct.Struct(f">4sBBH{GROUP_BYTES}s")
_HASH_BYTES: Final = 32
_DOMAIN: Final = b"tidal region message 1\0"
_PIECE: Final = struct.Struct(">32sIIQ")  # of the whole: its hash; number and count of the piece; bytes
OVERHEAD_BYTES: Final = _HEAD.size + _HASH_BYTES + _PIECE.size
PIECE_BYTES_MAX: Final = 512 * 1024


class Kind(IntEnum):
    """What a message is."""

    SUMMARY = 1  # what the sender has
    PIECE = 2  # of something that somebody lacks


class Message(NamedTuple):
    """A message whose hash was checked."""

    kind: Kind
    sender: int
    body: bytes


class Piece(NamedTuple):
    """A piece of something larger."""

    whole: bytes  # its hash
    number: int
    of: int
    total: int  # its bytes
    data: bytes


def encode_message(kind: Kind, sender: int, group: bytes, body: bytes) -> bytes:
    """Return the bytes of a message."""
    head = _HEAD.pack(MAGIC, VERSION, kind, sender, group)
    return head + _hash(head, body) + body


def decode_message(data: bytes, group: bytes) -> Message:
    """Return a message of this group; FormatError for what is none, FormatTooNew for a newer version's."""
    reader = Reader(data)
    head = bytes(reader.take(_HEAD.size))
    magic, version, kind, sender, theirs = _HEAD.unpack(head)
    if magic != MAGIC:
        raise FormatError("no message of a region")
    own, body = bytes(reader.take(_HASH_BYTES)), bytes(reader.take(reader.left))
    if own != _hash(head, body):
        raise FormatError("the hash of the message does not match its bytes")
    if version > VERSION:
        raise FormatTooNew(f"a message of version {version}; this tidal reads {VERSION}: upgrade it")
    if theirs != group:
        raise FormatError(f"node {sender} is of another group, or has another schema")
    if version != VERSION or kind not in Kind.__members__.values():
        raise FormatError(f"a message of version {version} and kind {kind}")
    return Message(Kind(kind), sender, body)


def pieces_of(data: bytes, most: int) -> Iterator[bytes]:
    """Yield the bodies of the pieces of something, each with at most so many bytes of it."""
    whole, count = blake3(data).digest(), max(1, -(-len(data) // most))
    for number in range(count):
        part = data[number * most : (number + 1) * most]
        yield _PIECE.pack(whole, number, count, len(data)) + part


def decode_piece(body: bytes) -> Piece:
    """Return a piece; FormatError for what is none."""
    reader = Reader(body)
    whole, number, count, total = reader.fields(_PIECE)
    data = bytes(reader.take(reader.left))
    if not number < count <= max(1, total) or len(data) > total:
        raise FormatError(f"piece {number} of {count}, {len(data)} of {total} bytes")
    return Piece(whole, number, count, total, data)


def _hash(head: bytes, body: bytes) -> bytes:
    return blake3(_DOMAIN).update(head).update(body).digest()
