"""What leaders and followers say to each other, as bytes.

    +-----------+-------------+----------+----------+------------+-----------+---------------+
    | magic <4> | version <2> | kind <1> | zero <1> | region <2> | shard <2> | store id <16> |
    +-----------+-------------+----------+----------+------------+-----------+---------------+
    | epoch <8> | sent at <8> | body, as its kind says ...       | hash <32>                 |
    +-----------+-------------+----------------------------------+---------------------------+

The hash is BLAKE3 over a domain string and all that is before it. Everything is little-endian; a decoder
refuses what the encoder would not have written, and holds no more than the message has bytes.

``log/...``, from the leader: Batch, Heartbeat, Answer, Offer, Piece, Records. ``marks/...``, from a follower:
Mark, Request.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import blake3

from tidal.errors import FormatError, FormatTooNew
from tidal.format.frame import FRAME_BYTES_MAX, HASH_BYTES
from tidal.format.segment import SEGMENT_HEADER
from tidal.replication.wire import Reader, sized

MESSAGE_MAGIC: Final = b"TdlR"
MESSAGE_VERSION: Final = 1
RUN_BYTES_MAX: Final = FRAME_BYTES_MAX  # of frames that are sent together
NAME_BYTES_MAX: Final = 64
OVERHEAD_BYTES: Final = 512  # at least what a message has beside the bytes that it carries

_HEAD = struct.Struct("<4sHBBHH16sQq")
_DOMAIN = b"tidal replication message 1\0"
_BATCH = struct.Struct(f"<{SEGMENT_HEADER.size}sQQQQII")
_HEARTBEAT = struct.Struct("<QQ32sQQQ32s32s")
_MARK = struct.Struct("<QQQ32s")
_REQUEST = struct.Struct("<BQ32sQ")
_PIECE = struct.Struct("<QQQ")
_ANSWER = struct.Struct("<Q32sBQQ32s")


class Kind(enum.IntEnum):
    """The kinds of messages; these numbers are sent, and do not change."""

    BATCH = 1
    HEARTBEAT = 2
    MARK = 3
    REQUEST = 4
    OFFER = 5
    PIECE = 6
    RECORDS = 7
    ANSWER = 8


class Want(enum.IntEnum):
    """What a follower asks for; these numbers are sent, and do not change."""

    LOG = 1
    OFFER = 2
    PIECE = 3
    RECORDS = 4
    PLACE = 5


_WANTS: Final = frozenset(Want)


class Envelope(NamedTuple):
    """Who speaks: of which log, in the newest epoch that it knows, and when by its clock (ns)."""

    store_id: bytes  # zeros: a follower that has none yet
    region: int
    shard: int
    epoch: int
    sent_at: int


class Batch(NamedTuple):
    """A run of frames of a segment, or a part of one that no message holds: ``total`` bytes from ``offset``
    on, of which ``data`` are those at ``part_at``.
    """

    header: bytes  # of the segment
    offset: int
    first_seq: int
    last_seq: int
    durable_seq: int  # the leader's, when this was sent
    total: int
    part_at: int
    data: bytes


class Heartbeat(NamedTuple):
    """How far the leader is: durable to ``seq``; ``hash`` is that of the batch which ends there, zeros where
    it is not at hand.
    """

    start_seq: int  # where its log begins: who needs earlier events asks for a checkpoint
    seq: int
    hash: bytes
    last_seq: int
    origin_epoch: int  # all events after origin_seq are of this epoch or later ones
    origin_seq: int
    origin_hash: bytes
    schema: bytes  # the BLAKE3 of the schema's file


class Mark(NamedTuple):
    """How far a follower is: durably, and applied."""

    follower: str
    seq: int
    refused: int  # messages that it could not use
    hash: bytes
    epoch: int = 0  # of the event at ``seq``: followers are compared by both, see Position


class Request(NamedTuple):
    """What a follower wants: the log after ``seq``, where it has ``hash``; to know whether the leader has the
    same there; or a part of a checkpoint.
    """

    follower: str
    want: Want
    seq: int
    hash: bytes
    number: int  # of the epoch at ``seq``, or the place in a checkpoint
    key: bytes


class Offer(NamedTuple):
    """What a new follower begins with, as a document (see offer.py)."""

    document: bytes


class Piece(NamedTuple):
    """Bytes of the checkpoint at ``seq``. ``total`` 0: there is no such checkpoint any more."""

    seq: int
    offset: int
    total: int
    data: bytes


class Records(NamedTuple):
    """Records of entities after ``after``, which is what was asked: each (keyspace's number, key, value)."""

    after: bytes
    done: bool
    rows: tuple[tuple[int, bytes, bytes], ...]


class Answer(NamedTuple):
    """Whether a batch with ``hash`` ends at ``seq`` in the leader's log. If none does, the origin is where
    that log goes beyond the epoch that the follower has there.
    """

    seq: int
    hash: bytes
    shared: bool
    origin_epoch: int
    origin_seq: int
    origin_hash: bytes


Message = Batch | Heartbeat | Mark | Request | Offer | Piece | Records | Answer


def encode_message(envelope: Envelope, message: Message) -> bytes:
    """Return the bytes of a message; ValueError for what the format cannot hold."""
    kind, write = _WRITERS[type(message)]
    try:
        head = _HEAD.pack(
            MESSAGE_MAGIC, MESSAGE_VERSION, kind, 0, envelope.region, envelope.shard, envelope.store_id,
            envelope.epoch, envelope.sent_at,
        )  # fmt: skip
        data = b"".join((head, *write(message)))
    except struct.error as error:
        raise ValueError(f"{message!r} does not fit: {error}") from None
    return data + _hash(data)


def decode_message(data: bytes) -> tuple[Envelope, Message]:
    """Return what encode_message wrote; FormatError for any other bytes, FormatTooNew for a newer tidal's."""
    if len(data) < _HEAD.size + HASH_BYTES:
        raise FormatError(f"a message of {len(data)} bytes")
    body, own = data[:-HASH_BYTES], data[-HASH_BYTES:]
    magic, version, kind, zero, region, shard, store_id, epoch, sent_at = _HEAD.unpack_from(data)
    if magic != MESSAGE_MAGIC:
        raise FormatError("no message of a leader or follower")
    if own != _hash(body):
        raise FormatError("the message's hash does not match its bytes")
    if version != MESSAGE_VERSION or zero or kind not in _READERS:
        raise FormatTooNew(f"a message of version {version} and kind {kind}; upgrade tidal to read it")
    reader = Reader(body, _HEAD.size)
    message = _READERS[kind](reader)
    reader.end()
    return Envelope(store_id, region, shard, epoch, sent_at), message


def _hash(data: bytes) -> bytes:
    return blake3.blake3(_DOMAIN + data).digest()


# ------------------------------------------------------------------------------------ bodies


def _write_batch(it: Batch) -> tuple[bytes, ...]:
    fixed = (it.header, it.offset, it.first_seq, it.last_seq, it.durable_seq, it.total, it.part_at)
    return _BATCH.pack(*fixed), it.data


def _read_batch(reader: Reader) -> Batch:
    header, offset, first_seq, last_seq, durable_seq, total, part_at = reader.unpack(_BATCH)
    batch = Batch(header, offset, first_seq, last_seq, durable_seq, total, part_at, reader.rest())
    if not 1 <= batch.total <= RUN_BYTES_MAX or not batch.data:
        raise FormatError(f"a run of {batch.total} bytes")
    if batch.part_at + len(batch.data) > batch.total or not 1 <= batch.first_seq <= batch.last_seq:
        raise FormatError(f"{len(batch.data)} bytes at {batch.part_at} of a run of {batch.total} bytes")
    return batch


def _read_heartbeat(reader: Reader) -> Heartbeat:
    beat = Heartbeat(*reader.unpack(_HEARTBEAT))
    if not beat.start_seq or beat.seq > beat.last_seq or beat.origin_seq > beat.last_seq:
        raise FormatError(f"a log from {beat.start_seq} to {beat.last_seq}, durable to {beat.seq}")
    return beat


def _write_mark(it: Mark) -> tuple[bytes, ...]:
    return _MARK.pack(it.seq, it.refused, it.epoch, it.hash), _name(it.follower)


def _read_mark(reader: Reader) -> Mark:
    seq, refused, epoch, digest = reader.unpack(_MARK)
    return Mark(reader.text(NAME_BYTES_MAX), seq, refused, digest, epoch)


def _write_request(it: Request) -> tuple[bytes, ...]:
    return _REQUEST.pack(it.want, it.seq, it.hash, it.number), _name(it.follower), it.key


def _read_request(reader: Reader) -> Request:
    want, seq, digest, number = reader.unpack(_REQUEST)
    if want not in _WANTS:
        raise FormatTooNew(f"a request of kind {want}; upgrade tidal to answer it")
    return Request(reader.text(NAME_BYTES_MAX), Want(want), seq, digest, number, reader.rest())


def _write_piece(it: Piece) -> tuple[bytes, ...]:
    return _PIECE.pack(it.seq, it.offset, it.total), it.data


def _read_piece(reader: Reader) -> Piece:
    seq, offset, total = reader.unpack(_PIECE)
    piece = Piece(seq, offset, total, reader.rest())
    if piece.offset + len(piece.data) > piece.total or bool(piece.total) != bool(piece.data):
        raise FormatError(f"{len(piece.data)} bytes at {piece.offset} of {piece.total}")
    return piece


def _write_records(it: Records) -> tuple[bytes, ...]:
    rows = (bytes([number]) + sized(key) + sized(value) for number, key, value in it.rows)
    return bytes([it.done]), sized(it.after), *rows


def _read_records(reader: Reader) -> Records:
    done, after = reader.flag(), reader.sized()
    rows = []
    while not reader.at_end:
        rows.append((reader.byte(), reader.sized(), reader.sized()))
    return Records(after, done, tuple(rows))


def _read_answer(reader: Reader) -> Answer:
    seq, digest, shared, *origin = reader.unpack(_ANSWER)
    if shared > 1:
        raise FormatError(f"{shared} is neither 0 nor 1")
    return Answer(seq, digest, bool(shared), *origin)


def _name(name: str) -> bytes:
    encoded = name.encode()
    if not 1 <= len(encoded) <= NAME_BYTES_MAX:
        raise ValueError(f"the follower's name {name!r} has not 1 to {NAME_BYTES_MAX} bytes")
    return bytes([len(encoded)]) + encoded


_WRITERS: Final[dict[type[Any], tuple[Kind, Callable[[Any], tuple[bytes, ...]]]]] = {
    Batch: (Kind.BATCH, _write_batch),
    Heartbeat: (Kind.HEARTBEAT, lambda it: (_HEARTBEAT.pack(*it),)),
    Mark: (Kind.MARK, _write_mark),
    Request: (Kind.REQUEST, _write_request),
    Offer: (Kind.OFFER, lambda it: (it.document,)),
    Piece: (Kind.PIECE, _write_piece),
    Records: (Kind.RECORDS, _write_records),
    Answer: (Kind.ANSWER, lambda it: (_ANSWER.pack(*it),)),
}
_READERS: Final[dict[int, Callable[[Reader], Message]]] = {
    Kind.BATCH: _read_batch,
    Kind.HEARTBEAT: _read_heartbeat,
    Kind.MARK: _read_mark,
    Kind.REQUEST: _read_request,
    Kind.OFFER: lambda reader: Offer(reader.rest()),
    Kind.PIECE: _read_piece,
    Kind.RECORDS: _read_records,
    Kind.ANSWER: _read_answer,
}
