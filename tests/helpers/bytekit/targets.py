"""Every decoder of the project, with inputs that get past its hashes, and what it may do with them.

An input is good bytes of which some fields were changed and all hashes made right again, so that what is
tried is the decoder behind them; or good bytes changed without regard to anything. A decoder may return a
value or raise the errors named for it, and never hold more memory than ``cap`` names for the input.
"""

from __future__ import annotations

import functools
import json
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import numpy as np
import zstandard
from blake3 import blake3

from bytekit import mutate
from bytekit.scanning import disk_of
from bytekit.segments import IDENTITY, START, make_segment, random_batch
from tidal.archive import dictionaries as archive_dictionaries
from tidal.archive import verify_archive
from tidal.checkpoint import read_checkpoint
from tidal.errors import (
    CorruptArchive,
    CorruptCheckpoint,
    CorruptStore,
    FormatError,
    FormatTooNew,
    SchemaError,
)
from tidal.format import archive, columns, dictionary, frame, payload, segment, snapshot
from tidal.format.archive_manifest import (
    ArchivedFile,
    ArchiveManifest,
    SegmentEnd,
    decode_archive_manifest,
    encode_archive_manifest,
)
from tidal.format.document import encode_document
from tidal.format.manifest import ListedSegment, Manifest, decode_manifest, encode_manifest
from tidal.schema import EventBatch, IdColumn, NewKey, SchemaBuilder, schema_from_json, schema_to_json
from tidal.schema.events import NOTE_BYTES_MAX, NOTE_TYPE_ID, TIME_MAX_NS, TIME_MIN_NS
from tidal.store import StorePaths, load_store

FOLDER: Final = Path("/f")
SCHEMA: Final = (
    SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("like", half_life=("1d", "30d"), signed=True)
    .signal("follow", kind="user")
    .build()
)


class Input(NamedTuple):
    """What a decoder is given: bytes, and what else it needs to know."""

    data: bytes
    count: int = 0
    item_bytes: int = 0
    codec: int = 0
    compression: int = 0
    parameter: int = 0


class Target(NamedTuple):
    """One decoder."""

    make: Callable[[random.Random], Input]
    decode: Callable[[Input], object]
    errors: tuple[type[Exception], ...]
    cap: Callable[[Input], int]  # bytes that decoding may hold at once
    check: Callable[[Input, Any], bool] = lambda _, __: True  # whether what it returned can be


def _file_cap(given: Input) -> int:
    return 8 * len(given.data)


# ------------------------------------------------------------------------------------ batches


def rich_batch(rng: random.Random, count: int | None = None) -> EventBatch:
    """Return events with any of the optional columns, in values that call for any of the codecs."""
    count = count or rng.choice((1, 1, 2, 3, 8, 9, 40, 70, 300))
    numbers = np.random.default_rng(rng.getrandbits(32))

    def words() -> Any:
        choice = rng.randrange(4)
        if choice == 0:
            return numbers.integers(0, 1 << 63, count, dtype=np.uint64)
        if choice == 1:
            return np.sort(numbers.integers(0, 1000, count).astype(np.uint64)) + np.uint64(1 << 40)
        if choice == 2:
            return numbers.choice(numbers.integers(0, 1 << 63, 5, dtype=np.uint64), count)
        return np.full(count, rng.getrandbits(64), np.uint64)

    def ids() -> IdColumn | None:
        if rng.random() < 0.6:
            return None
        valid = numbers.random(count) < 0.5 if rng.random() < 0.5 else None
        values = words()
        return IdColumn(values if valid is None else np.where(valid, values, np.uint64(0)), valid)

    weight = numbers.integers(-5, 6, count) if rng.random() < 0.5 else numbers.normal(size=count)
    time = (
        START + np.cumsum(numbers.integers(0, 10**9, count))
        if rng.random() < 0.7
        else numbers.integers(TIME_MIN_NS, TIME_MAX_NS, count)
    )
    keys = tuple(
        NewKey("item", rng.getrandbits(64), "k" * rng.choice((0, 1, 5, 70))) for _ in range(rng.randrange(4))
    )
    types = numbers.integers(0, 3, count).astype(np.uint8)
    notes: tuple[bytes, ...] = ()
    if rng.random() < 0.3:
        types[numbers.random(count) < 0.5] = NOTE_TYPE_ID
        notes = tuple(rng.choice((b"", b"{}", b"n" * 70)) for _ in range(int((types == NOTE_TYPE_ID).sum())))
    return EventBatch(
        words(), types, weight.astype(np.float32), time,
        ids(), ids(), ids(), keys if rng.random() < 0.4 else (), notes,
    )  # fmt: skip


def good_events(batch: EventBatch, count: int) -> bool:
    """Return whether these are events that the API would have taken."""
    every = (batch.entity_id, batch.type_id, batch.weight, batch.timestamp)
    optional = [ids for ids in (batch.user_id, batch.session_id, batch.event_id) if ids is not None]
    return (
        all(len(column) == count for column in every)
        and all(len(ids.values) == count for ids in optional)
        and bool(np.isfinite(batch.weight).all())
        and TIME_MIN_NS <= int(batch.timestamp.min()) <= int(batch.timestamp.max()) <= TIME_MAX_NS
    )


def _payload_input(rng: random.Random) -> Input:
    batch = rich_batch(rng)
    good = payload.encode_payload(batch, START, small=rng.random() < 0.3).payload
    count = len(batch) if rng.random() < 0.85 else mutate.integer(rng, 32, len(batch)) % 70_000
    choice = rng.randrange(8)
    if choice == 0:
        return Input(mutate.some_bytes(rng, good), count)
    if choice == 1:
        return Input(good, count)
    head = payload.SUMMARY.unpack_from(good)
    number = head[4]
    entries = [
        payload.DIRECTORY.unpack_from(good, payload.SUMMARY.size + at * payload.DIRECTORY.size)
        for at in range(number)
    ]
    body = good[payload.SUMMARY.size + number * payload.DIRECTORY.size :]
    rows = [payload.DIRECTORY.pack(*entry) for entry in entries]
    summary = payload.SUMMARY.pack(*head)
    if choice == 2:
        summary = mutate.fields(rng, payload.SUMMARY, head, frozenset())
    elif choice <= 5:
        at = rng.randrange(number)
        rows[at] = mutate.fields(rng, payload.DIRECTORY, entries[at], frozenset())
        if rng.random() < 0.2:
            rows[at], rows[-1] = rows[-1], rows[at]
    else:
        return Input(summary + b"".join(rows) + _other_column(rng, entries, rows, body), count)
    return Input(summary + b"".join(rows) + body, count)


def _other_column(rng: random.Random, entries: list[Any], rows: list[bytes], body: bytes) -> bytes:
    """Put other bytes in place of one column, and make the directory agree with their length."""
    at = rng.randrange(len(entries))
    start = sum(entry[5] for entry in entries[:at])
    old = body[start : start + entries[at][5]]
    new = _bomb(rng) if rng.random() < 0.3 else mutate.some_bytes(rng, old)
    entry = list(entries[at])
    entry[5] = len(new)
    if rng.random() < 0.5:
        entry[3] = columns.ZSTD
    if rng.random() < 0.3:
        entry[4] = mutate.integer(rng, 32, entry[4])
    rows[at] = payload.DIRECTORY.pack(*entry)
    return body[:start] + new + body[start + len(old) :]


def _bomb(rng: random.Random) -> bytes:
    """A zstd frame that is far larger than it looks, or says so, or says nothing, or has one behind it."""
    plain = bytes(rng.choice((0, 8, 400, 1 << 16, 1 << 22)))
    made = zstandard.ZstdCompressor(
        write_content_size=rng.random() < 0.7, write_checksum=rng.random() < 0.3
    ).compress(plain)
    choice = rng.randrange(4)
    if choice == 0:
        return made + made
    if choice == 1:
        return made[: rng.randrange(len(made))]
    if choice == 2:  # a single-segment header with eight bytes of content size
        size = mutate.integer(rng, 64, 400)
        return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + made[6:]
    return made


def _decode_payload(given: Input) -> EventBatch:
    return payload.decode_payload(memoryview(given.data), given.count)


def _payload_cap(given: Input) -> int:
    """A hundred bytes an event, the keys that they may name, their notes, and what the codec keeps beside its
    input.
    """
    keys = min(given.count * payload.KEYS_PER_EVENT_MAX, payload.KEYS_BYTES_MAX // payload.KEY.size)
    texts = min(keys * (payload.KEY_BYTES_MAX + payload.KEY.size), payload.KEYS_BYTES_MAX)
    notes = min(given.count * (payload.NOTE.size + NOTE_BYTES_MAX), payload.NOTES_BYTES_MAX)
    return 100 * given.count + 250 * keys + 3 * (texts + notes) + 4 * len(given.data)


def _payload_check(given: Input, batch: EventBatch) -> bool:
    again = payload.decode_payload(memoryview(payload.encode_payload(batch, 0).payload), len(batch))
    return good_events(batch, given.count) and again.weight.tobytes() == batch.weight.tobytes()


def _words_input(rng: random.Random) -> Input:
    item = rng.choice((1, 4, 8))
    count = rng.choice((1, 2, 9, 70, 300))
    numbers = np.random.default_rng(rng.getrandbits(32)).integers(
        0, 1 << 8 * min(item, 7), count, dtype=np.uint64
    )
    made = columns.encode_words(numbers, item, small=rng.random() < 0.5)
    changed = [made.codec, made.compression, made.parameter]
    if rng.random() < 0.7:
        at = rng.randrange(3)
        changed[at] = mutate.integer(rng, (8, 8, 32)[at], changed[at]) % rng.choice((4, 10, 1 << 32))
    stored = (
        made.stored
        if rng.random() < 0.4
        else _bomb(rng)
        if rng.random() < 0.3
        else mutate.some_bytes(rng, made.stored)
    )
    count = count if rng.random() < 0.7 else 1 + mutate.integer(rng, 32, count) % 65_536
    return Input(stored, count, item, *changed)


def _decode_words(given: Input) -> object:
    return columns.decode_words(
        given.codec, given.compression, given.parameter, memoryview(given.data), given.count, given.item_bytes
    )


# ------------------------------------------------------------------------------------ segments


def _rehashed(rng: random.Random, head: bytes, digest: Callable[[bytes], bytes]) -> bytes:
    """Return the bytes with their hash behind them; one time in ten with what is no longer their hash."""
    whole = head + digest(head)
    return mutate.some_bytes(rng, whole) if rng.random() < 0.1 else whole


def _segment_header_input(rng: random.Random) -> Input:
    good = make_segment([], sealed=False).data
    values = segment.SEGMENT_HEADER.unpack(good)
    changed = mutate.fields(rng, segment.SEGMENT_HEADER, values, frozenset({13}))[:-32]
    return Input(_rehashed(rng, changed, segment._header_hash))


def _seal_input(rng: random.Random) -> Input:
    made = make_segment([random_batch(np.random.default_rng(1), 2)])
    values = segment.SEAL.unpack(made.data[-segment.SEAL.size :])
    changed = mutate.fields(rng, segment.SEAL, values, frozenset({12}))[:-32]
    return Input(_rehashed(rng, changed, functools.partial(segment._seal_hash, bytes(36), 0)))


def _frame_input(rng: random.Random) -> Input:
    given = _payload_input(rng) if rng.random() < 0.5 else Input(rng.randbytes(rng.randrange(300)))
    head = [frame.FRAME_MAGIC, frame.FRAME_VERSION, 0, 5, max(1, given.count % 65_537), len(given.data), 4]
    form = struct.Struct("<4sHHQIIQ")
    hashed = mutate.fields(rng, form, head, frozenset()) if rng.random() < 0.9 else form.pack(*head)
    claimed = form.unpack(hashed)[5]
    digest = blake3(given.data[:claimed]).digest()
    own = frame._hash(bytes(36), 0, bytes(32), hashed, digest)
    whole = hashed + own + bytes(32) + given.data
    return Input(mutate.some_bytes(rng, whole) if rng.random() < 0.1 else whole)


def _frame_check(given: Input, found: frame.Frame) -> bool:
    return found.end <= len(given.data) and found.durable_seq < found.first_seq <= found.last_seq < 1 << 64


# ------------------------------------------------------------------------------------ checkpoints


@functools.lru_cache
def _checkpoint(compress: bool) -> bytes:
    sections = {"a/ids": np.arange(40, dtype=np.uint64), "b": b"text", "c": np.zeros((2, 3), np.float32)}
    _, parts = snapshot.encode_snapshot(
        seq=7, store_id=bytes(16), epoch=1, log_hash=bytes(32), meta={"a": [1, "b"]}, sections=sections,
        compress=("a/ids", "c") if compress else (),
    )  # fmt: skip
    return b"".join(parts)


def _checkpoint_input(rng: random.Random) -> Input:
    data = bytearray(_checkpoint(rng.random() < 0.5))
    header = list(snapshot._HEADER.unpack_from(data))
    count, meta_bytes = header[10], header[11]
    place = snapshot.HEADER_BYTES + rng.randrange(count) * snapshot._ENTRY.size
    entry = list(snapshot._ENTRY.unpack_from(data, place))
    choice = rng.randrange(5)
    if choice == 0:  # a section's bytes, with their digest
        start, size = entry[6], entry[8]
        stored = (
            _bomb(rng) if rng.random() < 0.3 else mutate.some_bytes(rng, bytes(data[start : start + size]))
        )
        data[start : start + size] = stored.ljust(size, b"\0")[:size]
        entry[9] = blake3(data[start : start + size]).digest()
        data[place : place + snapshot._ENTRY.size] = snapshot._ENTRY.pack(*entry)
    elif choice <= 2:
        data[place : place + snapshot._ENTRY.size] = mutate.fields(rng, snapshot._ENTRY, entry, frozenset())
    elif choice == 3:
        start = snapshot.HEADER_BYTES + count * snapshot._ENTRY.size
        data[start : start + meta_bytes] = mutate.some_bytes(
            rng, bytes(data[start : start + meta_bytes]), keep_length=True
        )
    end = snapshot.HEADER_BYTES + count * snapshot._ENTRY.size + meta_bytes
    header[13] = blake3(data[snapshot.HEADER_BYTES : end]).digest()
    keep = frozenset({13, 14})
    head = (
        mutate.fields(rng, snapshot._HEADER, header, keep) if choice == 4 else snapshot._HEADER.pack(*header)
    )
    data[: snapshot.HEADER_BYTES] = head[:-32] + snapshot._header_digest(head[:-32])
    return Input(mutate.some_bytes(rng, bytes(data)) if rng.random() < 0.1 else bytes(data))


def _read_checkpoint(given: Input) -> object:
    return read_checkpoint(disk_of({"c.ckpt": given.data}, FOLDER), FOLDER / "c.ckpt")


# ------------------------------------------------------------------------------------ JSON


def _document(rng: random.Random, good: bytes) -> bytes:
    """Return the document changed, its hash made right: in canonical form, and so that any JSON passes."""
    body = json.loads(good)
    del body["blake3"]
    changed = body
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        changed = mutate.json_value(rng, changed)
    if rng.random() < 0.1 or not isinstance(changed, dict):
        return mutate.some_bytes(rng, good) if rng.random() < 0.5 else json.dumps(changed).encode()
    return encode_document(changed)


def _log_manifest(rng: random.Random) -> bytes:
    listed = tuple(ListedSegment(1 + 9 * n, 9 + 9 * n, 700, bytes([n]) * 32) for n in range(rng.randrange(4)))
    return encode_manifest(Manifest(IDENTITY.store_id, 3, rng.random() < 0.5, segments=listed))


def _archive_manifest(rng: random.Random) -> bytes:
    files = tuple(
        ArchivedFile(
            1 + 9 * n,
            9 + 9 * n,
            700,
            -5,
            99,
            b"\1" + bytes(31),
            bytes([n]) * 32,
            bytes([n + 1]) * 32,
            tuple(SegmentEnd(9 * n + end, bytes([end]) * 32) for end in range(3, 3 + rng.randrange(3))),
        )
        for n in range(rng.randrange(4))
    )
    return encode_archive_manifest(ArchiveManifest(IDENTITY.store_id, files=files))


def _store(files: Mapping[str, bytes]) -> object:
    return load_store(disk_of(files, FOLDER), StorePaths(FOLDER))


def _identity_document() -> bytes:
    return encode_document({"format": 1, "store_id": bytes(16).hex()})


# ------------------------------------------------------------------------------------ archives


@functools.lru_cache(maxsize=8)
def archive_bytes(seed: int, counts: tuple[int, ...] = (3, 40, 70)) -> bytes:
    """Return a small archive file, with the schema and a block of each of these many events.

    Those of odd seeds have dictionaries.
    """
    rng = random.Random(seed)
    return archive_of([rich_batch(rng, count) for count in counts], dictionaries=bool(seed % 2))


def archive_of(batches: list[EventBatch], *, dictionaries: bool) -> bytes:
    """Return an archive file with a block of each batch."""
    made = make_segment(batches)
    found = []
    if dictionaries:
        with mock.patch.object(archive_dictionaries, "_GAIN", 1000):  # though they do not pay
            found = archive_dictionaries.make_dictionaries(batches)
    plain, blocks, seq = archive.PlainHash(), [], 1
    for batch in batches:
        plain.add(batch)
        blocks.append(archive.encode_block(batch, seq, START, {it.entry.tag: it.codes for it in found}))
        seq += len(batch)
    header, parts = archive.encode_archive(
        made.info.header, made.info.seal(), len(made.data), schema_to_json(SCHEMA), blocks, plain.digest(),
        [(it.entry, it.stored) for it in found],
    )  # fmt: skip
    assert header.encode() == parts[0]
    return b"".join(parts)


def _archive_input(rng: random.Random) -> Input:
    data = bytearray(archive_bytes(rng.randrange(8)))
    form, row = archive.ARCHIVE_HEADER, archive.BLOCK_ENTRY
    header = archive.decode_archive_header(bytes(data), len(data))
    directory = form.size + header.schema_bytes
    place = directory + rng.randrange(header.blocks) * row.size
    entry = list(row.unpack_from(data, place))
    choice = rng.randrange(8 if header.dictionaries else 6)
    if choice >= 6:
        _change_dictionary(rng, data, header, rows=choice == 6)
    elif choice == 0:  # a block, with its hash
        start, size = entry[5], entry[2]
        block = bytearray(
            _payload_input(rng).data
            if rng.random() < 0.5
            else mutate.some_bytes(rng, data[start : start + size])
        )
        data[start : start + size] = bytes(block).ljust(size, b"\0")[:size]
        entry[9] = blake3(data[start : start + size]).digest()
        data[place : place + row.size] = row.pack(*entry)
    elif choice <= 2:
        data[place : place + row.size] = mutate.fields(rng, row, entry, frozenset())
    elif choice == 3:
        schema = _document(rng, bytes(data[form.size : directory]))
        data[form.size : directory] = schema[: header.schema_bytes].ljust(header.schema_bytes)
    values = list(form.unpack_from(data))
    values[-4] = blake3(data[form.size : header.directory_end]).digest()
    values[-3] = blake3(data[header.directory_end :]).digest()
    keep = frozenset({len(values) - 1})
    head = mutate.fields(rng, form, values, keep) if choice == 4 else form.pack(*values)
    data[: form.size] = head[:-32] + archive._header_hash(head[:-32])
    return Input(mutate.some_bytes(rng, bytes(data)) if choice == 5 or rng.random() < 0.05 else bytes(data))


def _change_dictionary(
    rng: random.Random, data: bytearray, header: archive.ArchiveHeader, *, rows: bool
) -> None:
    """Change the entry of a dictionary, or the bytes of both its copies, with their hash."""
    rows_at = header.directory_end - header.rows_bytes
    placed = archive.decode_dictionaries(header, bytes(data[rows_at : header.directory_end]))
    number = rng.randrange(len(placed))
    entry, copies = placed[number]
    form = dictionary.DICTIONARY_ENTRY
    place = header.directory_end - (len(placed) - number) * form.size
    values = list(form.unpack_from(data, place))
    if rows:
        changed = mutate.fields(rng, form, values, frozenset())
        data[place : place + form.size] = changed
        again = len(data) - (header.directory_end - place)
        data[again : again + form.size] = changed
        return
    stored = mutate.some_bytes(rng, bytes(data[copies[0] : copies[0] + entry.stored_bytes]), keep_length=True)
    for copy in copies:
        data[copy : copy + entry.stored_bytes] = stored
    values[-1] = entry.hash_of(stored)
    again = len(data) - (header.directory_end - place)
    data[place : place + form.size] = data[again : again + form.size] = form.pack(*values)


def _verify_archive(given: Input) -> object:
    return verify_archive(disk_of({"a.arc": given.data}, FOLDER), FOLDER / "a.arc")


# ------------------------------------------------------------------------------------ all

TARGETS: Final[dict[str, Target]] = {
    "payload": Target(_payload_input, _decode_payload, (FormatError,), _payload_cap, _payload_check),
    "words": Target(
        _words_input, _decode_words, (FormatError, ValueError),
        lambda given: 40 * given.count + 4 * len(given.data),
        lambda given, words: len(words) == given.count and int(words.max()) < 1 << 8 * given.item_bytes,
    ),
    "frame": Target(
        _frame_input, lambda given: frame.decode_frame(memoryview(given.data), 0, bytes(36)),
        (FormatError, FormatTooNew), lambda _: 0, _frame_check,
    ),
    "segment header": Target(
        _segment_header_input, lambda given: segment.decode_segment_header(memoryview(given.data)),
        (FormatError, FormatTooNew), lambda _: 0,
    ),
    "seal": Target(
        _seal_input, lambda given: segment.decode_seal(memoryview(given.data), 0, bytes(36)),
        (FormatError, FormatTooNew), lambda _: 0,
    ),
    "checkpoint": Target(
        _checkpoint_input, _read_checkpoint, (CorruptCheckpoint, FormatTooNew),
        lambda given: 4 * snapshot._ZSTD_EXPANSION_MAX * len(given.data),
    ),
    "log manifest": Target(
        lambda rng: Input(_document(rng, _log_manifest(rng))), lambda given: decode_manifest(given.data),
        (FormatError, FormatTooNew), _file_cap, lambda given, found: encode_manifest(found) == given.data,
    ),
    "archive manifest": Target(
        lambda rng: Input(_document(rng, _archive_manifest(rng))),
        lambda given: decode_archive_manifest(given.data), (FormatError, FormatTooNew), _file_cap,
        lambda given, found: encode_archive_manifest(found) == given.data,
    ),
    "archive": Target(
        _archive_input, _verify_archive, (CorruptArchive, FormatTooNew),
        lambda given: (
            3 * archive.BLOCK_PLAIN_BYTES_MAX + 4 * 8 * dictionary.DICTIONARY_IDS_MAX + 4 * len(given.data)
        ),
    ),
    "schema.json": Target(
        lambda rng: Input(_document(rng, schema_to_json(SCHEMA))), lambda given: schema_from_json(given.data),
        (SchemaError, FormatTooNew), _file_cap,
    ),
    "store.json": Target(
        lambda rng: Input(_document(rng, _identity_document())),
        lambda given: _store({"store.json": given.data, "schema.json": schema_to_json(SCHEMA)}),
        (CorruptStore, FormatTooNew), lambda given: 8 * len(given.data) + (1 << 16),
    ),
}  # fmt: skip
