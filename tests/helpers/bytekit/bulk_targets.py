"""The decoders of the log, checkpoints and archives, with tables of inputs that get past their hashes."""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from blake3 import blake3

from bytekit.bulk import (
    Arguments,
    BulkTarget,
    copies,
    mutate_table,
    of_other_length,
    places,
    put,
    rows_of,
    spoil,
)
from bytekit.segments import START, random_batch
from tidal.errors import FormatError, FormatTooNew
from tidal.format import columns, frame, payload, segment

IDENTITY: Final = bytes(36)
CODECS: Final = range(1, 6)  # written out here: an oracle that asked the decoder would believe it
COMPRESSIONS: Final = range(2)
_LOG_ERRORS: Final = (FormatError, FormatTooNew)


# ------------------------------------------------------------------------------------ structures with a hash


def hashed_structure(
    templates: Callable[[np.random.Generator], Sequence[bytes]],
    form: struct.Struct,
    digest: Callable[[bytes], bytes],
    *more: Any,
    most: int = 4,
) -> Callable[[np.random.Generator, int], list[Arguments]]:
    """Return what makes inputs for a decoder of one structure that ends in its own hash."""
    fields = places(form)[1:-1]  # a magic number that is gone is seen first, so `spoil` does for it
    end = form.size - 32

    def make(rng: np.random.Generator, rows: int) -> list[Arguments]:
        table = copies(rng, templates(rng), rows)
        mutate_table(rng, table, fields, most=most)
        spoil(rng, table, 1 / 32)
        whole, width = table.tobytes(), table.shape[1]
        put(table, end, [digest(whole[at : at + end]) for at in range(0, len(whole), width)])
        spoil(rng, table)
        data = list(rows_of(table))
        of_other_length(rng, data)
        return [(view, *more) for view in data]

    return make


def _headers(rng: np.random.Generator) -> list[bytes]:
    def one(base: int) -> bytes:
        region = int(rng.integers(0, 3))
        log = segment.LogIdentity(rng.bytes(16), int(rng.integers(0, 1 << 60)), region, 9 * region)
        return segment.SegmentHeader(log, base, START, bytes(32) if base == 1 else rng.bytes(32)).encode()

    return [one(base) for base in (1, 1, 2, 3, 1 << 40, int(rng.integers(1, 1 << 62)))]


def _header_check(given: Arguments, found: Any) -> bool:
    (data,), (header, own) = given, found
    _, min_reader, flags = struct.unpack_from("<HHI", data, 8)
    again = header.encode()
    known = min_reader <= 1 and not flags & 0xFFFF
    return known and own == data[96:128] and again[:8] + again[16:96] == bytes(data[:8]) + bytes(data[16:96])


def _seals(rng: np.random.Generator) -> list[bytes]:
    def one() -> bytes:
        last, events = int(rng.integers(1 << 40, 1 << 62)), int(rng.integers(1, 1 << 33))
        times = sorted(rng.integers(-(1 << 60), 1 << 60, 2).tolist())
        batches = min(events, int(rng.integers(1, 1 << 16)))
        seal = segment.Seal(last, events, batches, *times, rng.bytes(32), rng.bytes(32))
        return seal.encode(IDENTITY, 0)

    return [one() for _ in range(8)]


def _seal_check(given: Arguments, found: Any) -> bool:
    return bool(found.encode(IDENTITY, 0) == given[0][: segment.SEAL.size])


# ------------------------------------------------------------------------------------ frames


def _frames(rng: np.random.Generator) -> list[bytes]:
    """Return frames of one length."""
    count = int(rng.choice([1, 2, 3, 17]))
    seq = 1 + int(rng.integers(0, 1 << 62))
    made = []
    for _ in range(4):
        encoded = payload.encode_payload(random_batch(rng, count), START)
        head, _ = frame.encode_frame(
            encoded, first_seq=seq, durable_seq=seq // 2, link=rng.bytes(32), offset=0, identity=IDENTITY
        )
        made.append(head + encoded.payload)
    return [data for data in made if len(data) == len(made[0])]


_FRAME_HEAD: Final = places(frame.FRAME_HEADER)[1:-1]
_FRAME_LENGTH_AT: Final = 20


def _make_frames(rng: np.random.Generator, rows: int) -> list[Arguments]:
    templates = _frames(rng)
    table = copies(rng, templates, rows)
    size = len(templates[0])
    body = np.array([(64, 32), (96, size - 96)], np.int64)
    mutate_table(rng, table, np.concatenate([_FRAME_HEAD, _FRAME_HEAD, body]), most=3)
    far = np.flatnonzero(rng.random(rows) < 0.75)  # else few of the lengths would be those of the payload
    table[far, _FRAME_LENGTH_AT : _FRAME_LENGTH_AT + 4] = np.frombuffer(templates[0], np.uint8)[
        _FRAME_LENGTH_AT : _FRAME_LENGTH_AT + 4
    ]
    spoil(rng, table, 1 / 32)
    put(table, 32, [_frame_hash(row) for row in rows_of(table)])
    spoil(rng, table)
    data = list(rows_of(table))
    of_other_length(rng, data)
    return [(view, 0, IDENTITY) for view in data]


def _frame_hash(row: memoryview) -> bytes:
    end = 96 + int.from_bytes(row[_FRAME_LENGTH_AT : _FRAME_LENGTH_AT + 4], "little")
    return frame._hash(IDENTITY, 0, bytes(row[64:96]), bytes(row[:32]), blake3(row[96:end]).digest())


def _frame_check(given: Arguments, found: frame.Frame) -> bool:
    data = given[0]
    if not (found.end <= len(data) and found.durable_seq < found.first_seq <= found.last_seq < (1 << 64) - 1):
        return False
    body = bytes(data[found.payload])
    encoded = payload.EncodedPayload(body, blake3(body).digest(), found.events, payload.Summary(0, 0, b"", 0))
    again, own = frame.encode_frame(
        encoded, first_seq=found.first_seq, durable_seq=found.durable_seq, link=found.link, offset=0,
        identity=IDENTITY,
    )  # fmt: skip
    return found.events <= 65_536 and again == data[:96] and own == found.hash


# ------------------------------------------------------------------------------------ columns


def _column(rng: np.random.Generator) -> tuple[columns.EncodedColumn, int, int]:
    """Return a column in any codec, plain or compressed: (column, count, bytes of an item)."""
    item, count = int(rng.choice([1, 4, 8])), int(rng.choice([1, 2, 9, 30, 70]))
    top = 1 << 8 * min(item, 7)
    words = (
        rng.integers(0, top, count, dtype=np.uint64),
        np.sort(rng.integers(0, min(top, 1000), count).astype(np.uint64)),
        rng.choice(rng.integers(0, top, 5, dtype=np.uint64), count),
        np.full(count, rng.integers(0, top), np.uint64),
    )[rng.integers(0, 4)]
    return columns.encode_words(words, item, small=bool(rng.random() < 0.5)), count, item


_CLAIMS: Final = struct.Struct("<BBII")  # codec, compression, parameter, words less one


def _make_words(rng: np.random.Generator, rows: int) -> list[Arguments]:
    """Of one column each time: its bytes, and what the directory says of it, changed in step or not."""
    (codec, compression, parameter, stored), count, item = _column(rng)
    table = copies(rng, [_CLAIMS.pack(codec, compression, parameter, count - 1) + stored], rows)
    body = np.array([(_CLAIMS.size, len(stored))] * 16, np.int64)
    mutate_table(rng, table, np.concatenate([places(_CLAIMS), body]))
    small = rng.random(rows) < 0.75  # else few would get to the words themselves
    table[np.ix_(small, range(2))] %= np.array([7, 3], np.uint8)
    table[np.ix_(small, range(3, 6))] = 0
    table[np.ix_(small, range(6, 10))] = np.frombuffer(struct.pack("<I", count - 1), np.uint8)
    claims = np.frombuffer(table[:, : _CLAIMS.size].tobytes(), "u1,u1,<u4,<u4")
    data = list(rows_of(table[:, _CLAIMS.size :]))
    of_other_length(rng, data)
    counts = (1 + claims["f3"] % 65_536).tolist()
    codecs, compressions, parameters = (claims[name].tolist() for name in ("f0", "f1", "f2"))
    return list(zip(codecs, compressions, parameters, data, counts, itertools.repeat(item)))


def _words_check(given: Arguments, words: Any) -> bool:
    codec, compression, _, _, count, item = given
    if codec not in CODECS or compression not in COMPRESSIONS or len(words) != count:
        return False
    if int(words.max()) >= 1 << 8 * item:
        return False
    again = columns.encode_words(words, item)
    same = columns.decode_words(
        again.codec, again.compression, again.parameter, memoryview(again.stored), count, item
    )
    return bool((same == words).all())


# ------------------------------------------------------------------------------------ all

LOG_TARGETS: Final[dict[str, BulkTarget]] = {
    "words": BulkTarget(
        _make_words, columns.decode_words, (FormatError, ValueError), _words_check, 1_500_000, 64, 4096
    ),
    "segment header": BulkTarget(
        hashed_structure(_headers, segment.SEGMENT_HEADER, segment._header_hash),
        segment.decode_segment_header, _LOG_ERRORS, _header_check, 1_500_000, 8,
    ),
    "seal": BulkTarget(
        hashed_structure(
            _seals, segment.SEAL, functools.partial(segment._seal_hash, IDENTITY, 0), 0, IDENTITY
        ),
        segment.decode_seal, _LOG_ERRORS, _seal_check, 1_500_000, 8,
    ),
    "frame": BulkTarget(_make_frames, frame.decode_frame, _LOG_ERRORS, _frame_check, 300_000, 8),
}  # fmt: skip
