"""A message that workers publish: one batch of events, as bytes.

    +-----------+-------------+----------+------------+--------------+------------+---------+-----------+
    | magic <4> | version <2> | zero <2> | events <4> | batch id <8> | types <32> | payload | hash <32> |
    +-----------+-------------+----------+------------+--------------+------------+---------+-----------+

The payload is that of a batch in the log; ``types`` says what its signal types are, so that the schemas of
two programs cannot mean different things by one number. The hash is BLAKE3 over a domain string and all that
is before it. Everything is little-endian.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import blake3
import numpy as np

from tidal.errors import FormatError, FormatTooNew
from tidal.format.payload import EVENTS_PER_BATCH_MAX, decode_payload, encode_payload
from tidal.schema import EventBatch, Schema

MESSAGE_MAGIC: Final = b"TdlE"
MESSAGE_VERSION: Final = 1
MARK_EVENTS: Final = 2  # that are logged beside a batch's own, see positions.py
EVENTS_MAX: Final = EVENTS_PER_BATCH_MAX - MARK_EVENTS

_HEAD = struct.Struct("<4sHHI8s32s")
_HASH_BYTES = 32
_DOMAIN = b"tidal event message 1\0"


class Message(NamedTuple):
    """One batch, whose id (u64) tells it from every other."""

    batch_id: int
    batch: EventBatch


def encode_message(schema: Schema, message: Message, sent_at: int) -> bytes:
    """Return the bytes of a message of 1 to EVENTS_MAX events; ``sent_at``: wall time in ns."""
    batch_id, batch = message
    if len(batch) > EVENTS_MAX:
        raise ValueError(f"{len(batch)} events; a message has {EVENTS_MAX} at most")
    head = _HEAD.pack(
        MESSAGE_MAGIC, MESSAGE_VERSION, 0, len(batch), batch_id.to_bytes(8, "little"), _types(schema, batch)
    )
    body = head + encode_payload(batch, sent_at).payload
    return body + _hash(body)


def decode_message(schema: Schema, data: bytes) -> Message:
    """Return what encode_message wrote; FormatError for any other bytes, and for signal types that the
    schema does not have; FormatTooNew for a version that is not known.
    """
    if len(data) < _HEAD.size + _HASH_BYTES:
        raise FormatError(f"a message of {len(data)} bytes")
    magic, version, zero, events, batch_id, types = _HEAD.unpack_from(data)
    if magic != MESSAGE_MAGIC:
        raise FormatError("not a batch of events")
    if version != MESSAGE_VERSION:
        raise FormatTooNew(f"a message of version {version}; this tidal knows {MESSAGE_VERSION}")
    if _hash(data[:-_HASH_BYTES]) != data[-_HASH_BYTES:]:
        raise FormatError("the message is not what was sent: its hash differs")
    if zero or not 1 <= events <= EVENTS_MAX:
        raise FormatError(f"a message of {events} events")
    batch = decode_payload(memoryview(data)[_HEAD.size : -_HASH_BYTES], events)
    if types != _types(schema, batch):
        raise FormatError("its signal types are not those of this store's schema")
    return Message(int.from_bytes(batch_id, "little"), batch)


def _types(schema: Schema, batch: EventBatch) -> bytes:
    """Return a hash of what the types of a batch are: number, name, kind, and whether they are signed."""
    known = {signal.type_id: signal for signal in schema}
    digest = blake3.blake3()
    for type_id in np.unique(batch.type_id).tolist():
        if (signal := known.get(type_id)) is None:
            raise FormatError(f"signal type {type_id} is not in this store's schema")
        digest.update(f"{type_id}\0{signal.name}\0{signal.kind}\0{signal.signed:d}\n".encode())
    return digest.digest()


def _hash(body: bytes) -> bytes:
    return blake3.blake3(_DOMAIN + body).digest()
