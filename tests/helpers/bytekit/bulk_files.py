"""The decoders of checkpoint and archive files, with tables of inputs that get past their hashes."""

from __future__ import annotations

import functools
import random
from typing import Any, Final

import numpy as np
from blake3 import blake3

from bytekit.bulk import (
    Arguments,
    BulkTarget,
    Places,
    copies,
    mutate_table,
    of_other_length,
    places,
    put,
    rows_of,
    spoil,
)
from bytekit.bulk_payloads import known_codecs, payload_places, same_events
from bytekit.bulk_targets import CODECS, hashed_structure
from bytekit.targets import archive_of, good_events, rich_batch
from tidal.errors import FormatError, FormatTooNew
from tidal.format import archive, columns, dictionary, payload, snapshot

_HEAD: Final = snapshot.HEADER_BYTES
_ENTRY: Final = snapshot._ENTRY.size
_SNAPSHOT_ERRORS: Final = (snapshot.DamagedSnapshot, FormatTooNew)
_ARCHIVE_ERRORS: Final = (FormatError, FormatTooNew)
_SECTIONS: Final = 3


# ------------------------------------------------------------------------------------ checkpoints


def _snapshot(rng: np.random.Generator) -> bytes:
    sections: dict[str, Any] = {
        "a/ids": np.sort(rng.integers(0, 1 << 40, int(rng.integers(1, 40)), dtype=np.uint64)),
        "b": rng.bytes(int(rng.integers(0, 20))),
        "c": rng.integers(0, 9, (2, int(rng.integers(1, 9)))).astype(np.float32),
    }
    _, parts = snapshot.encode_snapshot(
        seq=int(rng.integers(1, 1 << 60)), store_id=rng.bytes(16), epoch=1, log_hash=rng.bytes(32),
        meta={"a": [1, "b"]}, sections=sections, compress=("a/ids", "c") if rng.random() < 0.5 else (),
    )  # fmt: skip
    return b"".join(parts)


def _snapshot_heads(rng: np.random.Generator) -> list[bytes]:
    return [_snapshot(rng)[:_HEAD] for _ in range(8)]


def _make_snapshot_headers(rng: np.random.Generator, rows: int) -> list[Arguments]:
    """A header is held against the file's length: mostly what it says, so that later checks are reached."""
    make = hashed_structure(_snapshot_heads, snapshot._HEADER, snapshot._header_digest)
    wrong = (rng.random(rows) < 1 / 16).tolist()
    return [
        (bytes(view), wrong[number] + int.from_bytes(view[80:88], "little"))
        for number, (view,) in enumerate(make(rng, rows))
    ]


def _snapshot_header_check(given: Arguments, found: snapshot.SnapshotHeader) -> bool:
    data, file_bytes = given
    again = snapshot._encode_header(found)
    flags = data[12] | data[13]  # required ones; the writer's own version is between magic and these
    return not flags and file_bytes >= found.sections_offset and again[16:-32] == data[16:-32]


def _make_snapshots(rng: np.random.Generator, rows: int) -> list[Arguments]:
    """Whole files: entries, meta or sections changed, the digests above them made right again."""
    data = _snapshot(rng)
    header = snapshot.decode_header(data[:_HEAD], len(data))
    entries, _ = snapshot.decode_directory(header, data[_HEAD : header.sections_offset])
    table = copies(rng, [data], rows)
    row = places(snapshot._ENTRY)
    fields = [row + np.array([_HEAD + number * _ENTRY, 0]) for number in range(_SECTIONS)]
    meta = (_HEAD + _SECTIONS * _ENTRY, header.meta_bytes)
    bodies = [(entry.offset, entry.stored_bytes) for entry in entries if entry.stored_bytes] * 6
    fields.append(np.array([meta, meta, *bodies], np.int64))
    mutate_table(rng, table, np.concatenate(fields), most=2)
    for number, entry in enumerate(entries):  # the digest of what lies where the section was
        digests = [
            blake3(view[entry.offset : entry.offset + entry.stored_bytes]).digest() for view in rows_of(table)
        ]
        put(table, _HEAD + (number + 1) * _ENTRY - 32, digests)
    end = _HEAD + header.directory_bytes
    put(table, _HEAD - 64, [blake3(view[_HEAD:end]).digest() for view in rows_of(table)])
    put(table, _HEAD - 32, [snapshot._header_digest(bytes(view[: _HEAD - 32])) for view in rows_of(table)])
    spoil(rng, table, 1 / 32)
    made = list(rows_of(table))
    of_other_length(rng, made)
    return [(bytes(view),) for view in made]


def decode_snapshot(data: bytes) -> tuple[Any, dict[str, Any], dict[str, Any], set[int]]:
    """Return header, meta, sections and codecs of a checkpoint's bytes, as its reader does, without files."""
    header = snapshot.decode_header(data[:_HEAD], len(data))
    entries, meta = snapshot.decode_directory(header, data[_HEAD : header.sections_offset])
    sections = {
        entry.name: snapshot.decode_section(entry, data[entry.offset : entry.offset + entry.padded_bytes])
        for entry in entries
    }
    return header, meta, sections, {int(entry.codec) for entry in entries}


def _snapshot_check(_: Arguments, found: Any) -> bool:
    header, meta, sections, codecs = found
    if not codecs <= {0, 1}:
        return False
    if any(isinstance(it, np.ndarray) and 0 in it.shape for it in sections.values()):
        return True  # of no bytes at all: nothing to compare
    _, parts = snapshot.encode_snapshot(
        seq=header.seq, store_id=header.store_id, epoch=header.epoch, log_hash=header.log_hash,
        meta={}, sections=sections,
    )  # fmt: skip
    again = decode_snapshot(b"".join(parts))[2]
    return (
        isinstance(meta, dict)
        and again.keys() == sections.keys()
        and all(
            np.asarray(again[name]).tobytes() == np.asarray(value).tobytes()
            for name, value in sections.items()
        )
    )


# ------------------------------------------------------------------------------------ archives


@functools.cache
def _archives() -> tuple[bytes, ...]:
    rng = random.Random(8)
    return tuple(
        archive_of([rich_batch(rng, rng.choice((1, 3, 20)))], dictionaries=number % 2 == 1)
        for number in range(24)
    )


def _archive_heads(rng: np.random.Generator) -> list[bytes]:
    return [data[: archive.ARCHIVE_HEADER.size] for data in _archives()]


_BLOCKS_AT: Final = 76  # the number of blocks in the header
_TIMES_AT: Final = 88  # least and greatest time, types
_STORED_AT: Final = 208  # bytes after the directory, then of the schema, then the number of dictionaries


def _make_archive_headers(rng: np.random.Generator, rows: int) -> list[Arguments]:
    """As for checkpoints: held against the length that the header says."""
    make = hashed_structure(_archive_heads, archive.ARCHIVE_HEADER, archive._header_hash)
    wrong = (rng.random(rows) < 1 / 16).tolist()
    made: list[Arguments] = []
    for number, (view,) in enumerate(make(rng, rows)):
        data = bytes(view)
        says = archive.ARCHIVE_HEADER.size + int.from_bytes(data[_BLOCKS_AT : _BLOCKS_AT + 4], "little") * 112
        says += int.from_bytes(data[_STORED_AT : _STORED_AT + 8], "little")
        says += int.from_bytes(data[_STORED_AT + 8 : _STORED_AT + 12], "little")
        says += int.from_bytes(data[_STORED_AT + 12 : _STORED_AT + 16], "little") * 48
        made.append((data, says + wrong[number]))
    return made


def _archive_header_check(given: Arguments, found: archive.ArchiveHeader) -> bool:
    data, file_bytes = given
    again = found.encode()
    known = int.from_bytes(data[10:12], "little") <= archive.ARCHIVE_VERSION and not (data[12] or data[13])
    same = again[16:-32] == data[16 : archive.ARCHIVE_HEADER.size - 32]
    return known and same and found.file_bytes == file_bytes


def _archive_places(data: bytes, directory: int, start: int, stop: int) -> Places:
    block = payload_places(data[start:stop]) + np.array([start, 0])
    row = places(archive.BLOCK_ENTRY, directory)
    schema = np.array([(archive.ARCHIVE_HEADER.size, directory - archive.ARCHIVE_HEADER.size)] * 4, np.int64)
    return np.concatenate([block, row, row, schema])


def _make_archives(rng: np.random.Generator, rows: int) -> list[Arguments]:
    """Whole files of one block, some with dictionaries: parts changed, the hashes above them made right."""
    data = _archives()[rng.integers(0, len(_archives()))]
    header = archive.decode_archive_header(data, len(data))
    top = archive.ARCHIVE_HEADER.size
    directory, end = top + header.schema_bytes, header.directory_end
    (entry,) = archive.decode_entries(header, data[directory:end])
    start, stop = entry.offset, entry.offset + entry.stored_bytes
    table = copies(rng, [data], rows)
    mutate_table(rng, table, _archive_places(data, directory, start, stop), most=2)
    for number, (words, (first, second)) in enumerate(
        archive.decode_dictionaries(header, data[end - header.rows_bytes : end])
    ):
        changed = np.flatnonzero(rng.random(rows) < 0.2)
        row = directory + archive.BLOCK_ENTRY.size + number * dictionary.DICTIONARY_ENTRY.size
        for at in changed.tolist():
            place = int(rng.integers(0, words.stored_bytes))
            table[at, [first + place, second + place]] = rng.integers(0, 256)
        hashes = [words.hash_of(bytes(view[first : first + words.stored_bytes])) for view in rows_of(table)]
        put(table, row + 16, hashes)
        put(table, len(data) - (end - row) + 16, hashes)
    # What the directory repeats of the block's summary is made to agree, so that the block is decoded.
    agree = np.flatnonzero(rng.random(rows) < 0.8)
    times = np.arange(48)
    table[agree[:, None], directory + 32 + times] = table[agree[:, None], start + times]
    table[agree[:, None], _TIMES_AT + times] = table[agree[:, None], start + times]
    put(table, directory + 80, [blake3(view[start:stop]).digest() for view in rows_of(table)])
    put(table, top - 96, [blake3(view[end:]).digest() for view in rows_of(table)])
    put(table, top - 128, [blake3(view[top:end]).digest() for view in rows_of(table)])
    put(table, top - 32, [archive._header_hash(bytes(view[: top - 32])) for view in rows_of(table)])
    spoil(rng, table, 1 / 32)
    made = list(rows_of(table))
    of_other_length(rng, made)
    return [(bytes(view),) for view in made]


def decode_archive(data: bytes) -> list[tuple[archive.BlockEntry, Any, memoryview]]:
    """Return the entries, events and bytes of an archive's blocks: what its reader does, without files."""
    header = archive.decode_archive_header(data, len(data))
    archive.check_directory(header, data[archive.ARCHIVE_HEADER.size : header.directory_end])
    rows = memoryview(data)[archive.ARCHIVE_HEADER.size + header.schema_bytes : header.directory_end]
    shared = {
        words.tag: dictionary.decode_dictionary(words, data[place : place + words.stored_bytes])
        for words, places in archive.decode_dictionaries(header, archive.cut_directory(header, rows)[1])
        for place in places
    }
    found = []
    for entry in archive.decode_entries(header, rows):
        stored = data[entry.offset : entry.offset + entry.stored_bytes]
        found.append((entry, archive.decode_block(entry, stored, shared), memoryview(stored)))
    return found


def _archive_check(_: Arguments, found: Any) -> bool:
    return all(
        good_events(batch, entry.events)
        and known_codecs(stored, (*CODECS, columns.CODEC_SHARED))
        and same_events(
            payload.decode_payload(memoryview(payload.encode_payload(batch, 0).payload), len(batch)), batch
        )
        for entry, batch, stored in found
    )


FILE_TARGETS: Final[dict[str, BulkTarget]] = {
    "checkpoint header": BulkTarget(
        _make_snapshot_headers, snapshot.decode_header, _SNAPSHOT_ERRORS, _snapshot_header_check, 150_000, 4
    ),
    "checkpoint": BulkTarget(
        _make_snapshots, decode_snapshot, _SNAPSHOT_ERRORS, _snapshot_check, 100_000, 8, 512
    ),
    "archive header": BulkTarget(
        _make_archive_headers,
        archive.decode_archive_header,
        _ARCHIVE_ERRORS,
        _archive_header_check,
        150_000,
        4,
    ),
    "archive": BulkTarget(_make_archives, decode_archive, _ARCHIVE_ERRORS, _archive_check, 100_000, 8, 512),
}
