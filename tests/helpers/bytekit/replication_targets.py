"""What comes over a transport: messages, runs of frames in them, offers; and the file of a follower."""

from __future__ import annotations

import functools
import random
from typing import Final

import numpy as np
from blake3 import blake3

from bytekit.bulk_documents import plain_document, with_hash
from bytekit.decoders import Decoder, same
from bytekit.segments import make_segment, random_batch
from tidal.errors import ForeignHistory, FormatError, FormatTooNew
from tidal.format import frame, segment
from tidal.format.following import Following, decode_following, encode_following
from tidal.replication import messages
from tidal.replication.frames import CheckedRun, Run, check_run
from tidal.replication.offer import Beginning, decode_offer
from tidal.schema import SchemaBuilder, schema_to_json
from tidal.wal.segments import Link

_ERRORS: Final = (FormatError, FormatTooNew)
_HEADER: Final = segment.SEGMENT_HEADER.size
_SCHEMA: Final = SchemaBuilder().signal("view", half_life="7d").build()
_HASH_AT, _LINK_AT, _BODY_AT = 32, 64, 96  # in a frame


# ------------------------------------------------------------------------------------ messages


def _message_of(rng: random.Random) -> messages.Message:
    """Return a message of any kind."""
    seq, digest = rng.randrange(1, 1 << 40), rng.randbytes(32)
    name = rng.choice(("f", "follower-2", "é"))
    data = rng.randbytes(rng.randrange(1, 60))
    made: list[messages.Message] = [
        messages.Batch(rng.randbytes(128), 128, seq, seq + 9, seq, 100 + len(data), rng.randrange(100), data),
        messages.Heartbeat(1, seq, digest, seq + 5, 3, rng.randrange(seq), digest, digest),
        messages.Mark(name, seq, rng.randrange(9), digest, rng.randrange(9)),
        messages.Request(name, rng.choice(tuple(messages.Want)), seq, digest, 3, rng.choice((b"", b"\0key"))),
        messages.Answer(seq, digest, rng.random() < 0.5, 3, 5, digest),
        messages.Offer(data),
        rng.choice((messages.Piece(seq, 100, 5000, data), messages.Piece(seq, 0, 0, b""))),
        messages.Records(b"\0key", rng.random() < 0.5, ((0, b"k", data), (2, b"", b""))[: rng.randrange(3)]),
    ]
    return rng.choice(made)


def _message(rng: random.Random) -> bytes:
    numbers = (rng.randrange(3), rng.randrange(3), rng.randrange(1 << 60), rng.randrange(1 << 60))
    envelope = messages.Envelope(rng.randbytes(16), *numbers)
    return messages.encode_message(envelope, _message_of(rng))[: -messages.HASH_BYTES]


# ------------------------------------------------------------------------------------ runs of frames


@functools.lru_cache(maxsize=64)
def _segment(seed: int) -> bytes:
    counts = [1 + seed % 3, 2][: 1 + seed % 4 // 3]
    batches = [random_batch(np.random.default_rng(seed + number), n) for number, n in enumerate(counts)]
    return bytes(make_segment(batches, sealed=False).data)


def _sealed_run(body: bytes) -> bytes:
    """Return a segment with the right hashes of its header and frames, each linked to what is before it."""
    data = bytearray(body)
    if len(data) < _HEADER:
        return body
    before = data[_HEADER - 32 : _HEADER] = segment._header_hash(bytes(data[: _HEADER - 32]))
    view = memoryview(data)
    try:
        identity = segment.decode_segment_header(view)[0].identity
        at = _HEADER
        while at < len(data):
            end = frame.claimed_end(view, at)
            data[at + _LINK_AT : at + _BODY_AT] = before
            digest = blake3(data[at + _BODY_AT : end]).digest()
            before = frame._hash(identity, at, bytes(before), bytes(data[at : at + _HASH_AT]), digest)
            data[at + _HASH_AT : at + _LINK_AT] = before
            at = end
    except _ERRORS:
        pass  # what is behind that is not looked at
    return bytes(data)


def _check_run(data: bytes) -> CheckedRun:
    log = segment.LogIdentity(*_identity())
    return check_run(Run(data[:_HEADER], _HEADER, data[_HEADER:]), log, Link(0, segment.NO_HASH, 0, "start"))


@functools.cache
def _identity() -> tuple[bytes, int, int, int]:
    log = segment.decode_segment_header(memoryview(_segment(0)))[0].log
    return log.store_id, log.epoch, log.region, log.shard


def _run_check(data: bytes, found: CheckedRun) -> bool:
    return bool(found.frames) and b"".join(it.data for it in found.frames) == data[_HEADER:]


# ------------------------------------------------------------------------------------ documents


def _offer(rng: random.Random) -> bytes:
    seq = rng.choice((0, 5, 900))
    beginning = Beginning(
        rng.randbytes(16), 1, 2, 3, schema_to_json(_SCHEMA), seq or 1, rng.randbytes(32), seq, 4096, 2
    )
    return plain_document(beginning.encode())


def _following(rng: random.Random) -> bytes:
    return plain_document(encode_following(Following(rng.randbytes(16), rng.randrange(99), "node/1")))


REPLICATION: Final[dict[str, Decoder]] = {
    "message": Decoder(
        _message, messages.decode_message, lambda data, found: messages.encode_message(*found) == data,
        lambda body: body + messages._hash(body), _ERRORS, share=900_000,
    ),
    "run of frames": Decoder(
        lambda rng: _segment(rng.randrange(64)), _check_run, _run_check, _sealed_run,
        (*_ERRORS, ForeignHistory), share=25_000,
    ),
    "offer": Decoder(
        _offer, decode_offer, same(Beginning.encode), with_hash, _ERRORS, json=True, share=25_000
    ),
    "following.json": Decoder(
        _following, decode_following, same(encode_following), with_hash, _ERRORS, json=True, share=25_000
    ),
}  # fmt: skip
