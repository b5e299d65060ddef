"""Keys of the storage engine: which keyspace, which entity, which kind of record.

::

    0                   8      9     10
    +-------------------+------+-----+----------------+
    | id, big-endian    | 0x00 | tag | suffix         |
    +-------------------+------+-----+----------------+

Byte order is therefore the order of ids, then of tags, then of suffixes, and everything about one
entity lies together.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from tidal.errors import InvalidKey
from tidal.schema.events import ID_MAX
from tidal.schema.spec import KINDS

KEYSPACES: Final[Mapping[str, str]] = {kind: f"{kind}s" for kind in KINDS}  # kind -> its keyspace

# These are part of the key format: they are on disk and do not change.
SEPARATOR: Final = 0


class Tag(IntEnum):
    """What a record is."""

    EVT = 1  # an event
    SIG = 2  # a signal's state
    META = 3  # metadata
    REL = 4  # a relation to another entity
    MV = 5  # a materialised view
    IDX = 6  # an index: here, the string key of an id


KEY_FIELDS: Final = (("id", "Q"), ("separator", "B"), ("tag", "B"))
_HEAD = struct.Struct(">" + "".join(form for _, form in KEY_FIELDS))
_ID = struct.Struct(">Q")
_TAGS = frozenset(Tag)


class Key(NamedTuple):
    """A decoded key."""

    id: int
    tag: Tag
    suffix: bytes = b""


def encode_key(id: int, tag: Tag, suffix: bytes = b"") -> bytes:
    """Return the key of a record; without a suffix it is the prefix of all records of this id and tag.

    >>> encode_key(258, Tag.META).hex(" ")
    '00 00 00 00 00 00 01 02 00 03'
    """
    if not 0 <= id <= ID_MAX:
        raise InvalidKey(f"id {id} is outside 0 .. 2**64 - 1")
    return _HEAD.pack(id, SEPARATOR, tag) + suffix


def id_prefix(id: int) -> bytes:
    """Return the prefix of all records of an id."""
    if not 0 <= id <= ID_MAX:
        raise InvalidKey(f"id {id} is outside 0 .. 2**64 - 1")
    return _ID.pack(id)


def decode_key(key: bytes) -> Key:
    """Return what encode_key was given, or raise InvalidKey."""
    if len(key) < _HEAD.size:
        raise InvalidKey(f"key {key.hex()} has {len(key)} bytes, fewer than {_HEAD.size}")
    id, separator, tag = _HEAD.unpack_from(key)
    if separator != SEPARATOR or tag not in _TAGS:
        raise InvalidKey(f"key {key.hex()} has separator {separator} and tag {tag}; neither is known")
    return Key(id, Tag(tag), key[_HEAD.size :])


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key after all keys with this prefix, or None if there can be none.

    >>> prefix_end(bytes([1, 255])), prefix_end(bytes([255]))
    (b'\\x02', None)
    """
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None
