"""Archive files: a sealed segment of the log, or several in a row, encoded anew to be small and read alone.

    +--------------+--------+---------------------------+--------------+--------+--------------+---------+
    | header <352> | schema | directory <112 x blocks   | dictionaries | blocks | dictionaries | <48 x d |
    |              | (JSON) |   + 48 x dictionaries>    |              |        |    again     |  again> |
    +--------------+--------+---------------------------+--------------+--------+--------------+---------+

A block is a payload as in the log (payload.py), of up to 65,536 events: the segments' batches joined, so
that a thousand calls with one event each take no more than one call with a thousand. The directory says of
each block what a reader needs to pass it by, and the hash of its bytes. The header's hash covers the
hashes of schema, directory, dictionaries and blocks, so no byte of the file is outside every hash.
Dictionaries (dictionary.py) are there where they make the file smaller. A file is of the oldest version
that has what is in it.

Two hashes stand for the whole: *stored hash* of the bytes after the directory, and *plain hash* of the
events that they stand for (PlainHash), which does not depend on how events were cut into batches or encoded.

*Previous* is that of the first segment, *final hash* that of the last: the chain of the log goes on through
its archive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from tidal.errors import FormatError, FormatTooNew
from tidal.format.dictionary import (
    BY_HASH,
    DICTIONARIES_MAX,
    DICTIONARY_ENTRY,
    DictionaryEntry,
    decode_dictionary_entries,
    stored_bytes,
)
from tidal.format.payload import (
    DIRECTORY,
    EVENTS_PER_BATCH_MAX,
    KEY,
    NOTE,
    SUMMARY,
    TAG_NEW_KEYS,
    CodesOf,
    Shared,
    TypeSet,
    cut_payload,
    encode_payload,
    union_types,
)
from tidal.format.segment import (
    REQUIRED_FLAGS,
    LogIdentity,
    Seal,
    SegmentHeader,
    parse_place_name,
    place_name,
)
from tidal.records import record
from tidal.schema.events import EventBatch, IdColumn, NewKey
from tidal.schema.evolution import SCHEMA_BYTES_MAX
from tidal.schema.spec import KINDS

# These numbers are on disk and do not change.
ARCHIVE_MAGIC: Final = b"tidalarc"
ARCHIVE_VERSION: Final = 3  # of a file with a dictionary in the order of hashes
ARCHIVE_VERSION_STORED: Final = 2  # of one with dictionaries, and none in that order
ARCHIVE_VERSION_PLAIN: Final = 1  # of one without dictionaries
ARCHIVE_HEADER: Final = struct.Struct("<8sHHI16sQHH4sQQQIIqqq32s32s32sQQII32s32s32s32s")
BLOCK_ENTRY: Final = struct.Struct("<QIII4sQqq32s32s")
BLOCK_PLAIN_BYTES_MAX: Final = 1 << 22  # of a block's columns when they are decompressed
BLOCKS_MAX: Final = 1 << 16  # more than the smallest frames that 16 MiB of log hold

_HASH_BYTES = 32
_BLOCK_BYTES_MAX = BLOCK_PLAIN_BYTES_MAX + SUMMARY.size + TAG_NEW_KEYS * DIRECTORY.size
_PREFIX, _SUFFIX = "archive-", ".arc"
_HEADER_DOMAIN = b"tidal archive header 1\0"
_PLAIN_DOMAIN = b"tidal archive events 1\0"
_SUM_MODULUS = 1 << (8 * _HASH_BYTES)
_COUNT = struct.Struct("<Q")


@record
class ArchiveHeader:
    """The first 352 bytes of an archive file: whose events it holds, which, and how they are checked."""

    log: LogIdentity  # of the segments, with the epoch that wrote them
    base_seq: int
    last_seq: int
    batches: int  # of the segments
    blocks: int
    created_at: int  # of the first segment; wall time, ns
    min_time: int
    max_time: int
    types: TypeSet
    previous: bytes
    final_hash: bytes
    segment_bytes: int
    stored_bytes: int  # of what follows the directory
    schema_bytes: int
    directory_hash: bytes  # of schema and directory
    stored_hash: bytes
    plain_hash: bytes
    dictionaries: int = 0
    by_hash: bool = False  # whether one of them may have its places by hash

    @property
    def version(self) -> int:
        """The oldest version that has all that is in the file; it is written as no later one."""
        if not self.dictionaries:
            return ARCHIVE_VERSION_PLAIN
        return ARCHIVE_VERSION if self.by_hash else ARCHIVE_VERSION_STORED

    @property
    def events(self) -> int:
        return self.last_seq - self.base_seq + 1

    @property
    def directory_end(self) -> int:
        """Where what follows the directory begins in the file."""
        return ARCHIVE_HEADER.size + self.schema_bytes + self.blocks * BLOCK_ENTRY.size + self.rows_bytes

    @property
    def rows_bytes(self) -> int:
        """Bytes of the entries of all dictionaries, in the directory and again at the end of the file."""
        return self.dictionaries * DICTIONARY_ENTRY.size

    @property
    def file_bytes(self) -> int:
        return self.directory_end + self.stored_bytes

    def encode(self) -> bytes:
        log = self.log
        head = ARCHIVE_HEADER.pack(
            ARCHIVE_MAGIC, self.version, self.version, 0, log.store_id, log.epoch, log.region,
            log.shard, bytes(4), self.base_seq, self.last_seq, self.events, self.batches, self.blocks,
            self.created_at, self.min_time, self.max_time, self.types, self.previous, self.final_hash,
            self.segment_bytes, self.stored_bytes, self.schema_bytes, self.dictionaries, self.directory_hash,
            self.stored_hash, self.plain_hash, bytes(_HASH_BYTES),
        )[:-_HASH_BYTES]  # fmt: skip
        return head + _header_hash(head)


class BlockEntry(NamedTuple):
    """One row of the directory: a block, and what is in it. Times in ns, both ends included."""

    first_seq: int
    events: int
    stored_bytes: int
    plain_bytes: int
    offset: int  # in the file
    min_time: int
    max_time: int
    types: TypeSet
    hash: bytes  # of the stored bytes

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.events - 1

    def encode(self) -> bytes:
        return BLOCK_ENTRY.pack(*self[:4], bytes(4), *self[4:])


def archive_name(identity: LogIdentity, base_seq: int) -> str:
    """Return the name of the archive file whose first event has this sequence.

    >>> archive_name(LogIdentity(bytes(16), epoch=1), 42)
    'archive-00000000000000000042.arc'
    """
    return place_name(identity, base_seq, _PREFIX, _SUFFIX)


def parse_archive_name(name: str) -> tuple[int, int, int] | None:
    """Return (region, shard, base seq), or None if this is not how an archive file is named."""
    return parse_place_name(name, _PREFIX, _SUFFIX)


def header_hash(header: ArchiveHeader) -> bytes:
    """Return the hash that ends the header: it stands for the whole file."""
    return header.encode()[-_HASH_BYTES:]


# ------------------------------------------------------------------------------------ the events' own hash


class PlainHash:
    """The hash of a run of events, however they are cut into batches and stored.

    Each column's bytes are hashed by themselves: ids as u64, types as u8, weights as the bits of f32, times
    as i64; of an id that an event may lack 0 and then a byte, 1 if it has one. A column in which no event
    has an id counts as 32 zero bytes. New keys, whose place among the events is not part of what they say,
    are hashed one by one, and added up. Notes are hashed one after the other, if there are any.
    """

    def __init__(self) -> None:
        self._events = 0
        self._columns = [blake3() for _ in range(4)]
        self._optional = [_OptionalHash() for _ in range(3)]
        self._keys = 0
        self._keys_sum = 0
        self._notes: blake3 | None = None

    def add(self, batch: EventBatch) -> None:
        """Take in the events that come next."""
        columns: tuple[NDArray[Any], ...] = (
            batch.entity_id, batch.type_id, batch.weight, batch.timestamp
        )  # fmt: skip
        for state, column in zip(self._columns, columns, strict=True):
            state.update(_bytes_of(column))
        for optional, ids in zip(
            self._optional, (batch.user_id, batch.session_id, batch.event_id), strict=True
        ):
            optional.add(ids, len(batch))
        for key in batch.new_keys:
            self._keys_sum += int.from_bytes(_key_hash(key), "little")
        for note in batch.notes:
            self._notes = self._notes or blake3()
            self._notes.update(NOTE.pack(len(note)) + note)
        self._events += len(batch)
        self._keys += len(batch.new_keys)

    def digest(self) -> bytes:
        """Return the hash of what was taken in, 32 bytes."""
        digests = [state.digest() for state in self._columns] + [ids.digest() for ids in self._optional]
        keys = (self._keys_sum % _SUM_MODULUS).to_bytes(_HASH_BYTES, "little")
        counts = _COUNT.pack(self._events), _COUNT.pack(self._keys)
        notes = [] if self._notes is None else [self._notes.digest()]
        return blake3(b"".join((_PLAIN_DOMAIN, *counts, *digests, keys, *notes))).digest()


class _OptionalHash:
    """The hash of an id column; begun only when an event has an id."""

    def __init__(self) -> None:
        self._values, self._known = blake3(), blake3()
        self._unknown = 0  # events without an id that are not hashed yet
        self._seen = False

    def add(self, column: IdColumn | None, count: int) -> None:
        if column is None:
            self._unknown += count
            return
        self._fill()
        known = np.ones(count, np.bool_) if column.valid is None else column.valid
        self._values.update(_bytes_of(np.where(known, column.values, np.uint64(0))))
        self._known.update(_bytes_of(known))
        self._seen = self._seen or bool(known.any())

    def _fill(self) -> None:
        while self._unknown:
            part = min(self._unknown, EVENTS_PER_BATCH_MAX)
            self._values.update(bytes(8 * part))
            self._known.update(bytes(part))
            self._unknown -= part

    def digest(self) -> bytes:
        if not self._seen:
            return bytes(_HASH_BYTES)
        self._fill()
        return blake3(self._values.digest() + self._known.digest()).digest()


def _bytes_of(column: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<")).view(np.uint8).data


def _key_hash(key: NewKey) -> bytes:
    text = key.key.encode()
    return blake3(KEY.pack(KINDS.index(key.kind), len(text), key.id) + text).digest()


# ------------------------------------------------------------------------------------ encode


def encode_block(
    batch: EventBatch, first_seq: int, received_at: int, codes: CodesOf | None = None
) -> tuple[BlockEntry, bytes]:
    """Return the entry, without its place in a file, and the bytes of a block.

    ``received_at`` is of the newest batch in it; ``codes`` give the places of ids in dictionaries of the
    file. ValueError for what no block holds.
    """
    encoded = encode_payload(batch, received_at, small=True, codes=codes or {})
    payload, (min_time, max_time, types, _) = encoded.payload, encoded.summary
    plain = cut_payload(memoryview(payload)).plain_bytes
    if plain > BLOCK_PLAIN_BYTES_MAX:
        raise ValueError(f"a block of {plain} bytes; the most is {BLOCK_PLAIN_BYTES_MAX}")
    entry = BlockEntry(
        first_seq, len(batch), len(payload), plain, 0, min_time, max_time, types, encoded.digest
    )
    return entry, payload


def encode_archive(
    segment: SegmentHeader,
    seal: Seal,
    segment_bytes: int,
    schema: bytes,
    blocks: Sequence[tuple[BlockEntry, bytes]],
    plain_hash: bytes,
    dictionaries: Sequence[tuple[DictionaryEntry, bytes]] = (),
) -> tuple[ArchiveHeader, list[bytes]]:
    """Return the header and the parts whose concatenation is the file.

    ``segment`` is the header of the first segment, ``seal`` what the seals of all say together; ``schema`` as
    schema_to_json has it. ValueError for more blocks than a file may have.
    """
    if not 1 <= len(blocks) <= BLOCKS_MAX:
        raise ValueError(f"{len(blocks)} blocks; a file has 1 to {BLOCKS_MAX}")
    rows = len(blocks) * BLOCK_ENTRY.size + len(dictionaries) * DICTIONARY_ENTRY.size
    words = [stored for _, stored in dictionaries]
    offset = ARCHIVE_HEADER.size + len(schema) + rows + sum(map(len, words))
    directory = [schema]
    for entry, stored in blocks:
        directory.append(entry._replace(offset=offset).encode())
        offset += len(stored)
    rows_again = b"".join(entry.encode() for entry, _ in dictionaries)
    front = b"".join([*directory, rows_again])
    body = [*words, *(stored for _, stored in blocks), *words, *([rows_again] if dictionaries else [])]
    stored_hash = blake3()
    for part in body:
        stored_hash.update(part)
    header = ArchiveHeader(
        segment.log, segment.base_seq, seal.last_seq, seal.batches, len(blocks), segment.created_at,
        seal.min_time, seal.max_time, seal.types, segment.previous, seal.final_hash, segment_bytes,
        sum(map(len, body)), len(schema), blake3(front).digest(), stored_hash.digest(), plain_hash,
        len(dictionaries), any(entry.order == BY_HASH for entry, _ in dictionaries),
    )  # fmt: skip
    return header, [header.encode(), front, *body]


# ------------------------------------------------------------------------------------ decode


def decode_archive_header(data: bytes, file_bytes: int) -> ArchiveHeader:
    """Return the header in a file's first bytes, checked against the file's length.

    FormatError if it is damaged or the file cut; FormatTooNew if it is whole, and this tidal is too old.
    """
    if len(data) < ARCHIVE_HEADER.size:
        raise FormatError("the file ends in the archive's header")
    (magic, version, min_reader, flags, store_id, epoch, region, shard, reserved, base_seq, last_seq, events,
     batches, blocks, created_at, min_time, max_time, types, previous, final_hash, segment_bytes,
     stored_bytes, schema_bytes, dictionaries, directory_hash, stored_hash, plain_hash,
     own) = ARCHIVE_HEADER.unpack_from(data)  # fmt: skip
    if magic != ARCHIVE_MAGIC:
        raise FormatError("this is no archive of a log")
    if own != _header_hash(data[: ARCHIVE_HEADER.size - _HASH_BYTES]):
        raise FormatError("the archive header's hash does not match its bytes")
    if min_reader > ARCHIVE_VERSION or flags & REQUIRED_FLAGS:
        raise FormatTooNew(
            f"an archive of version {version} (needs a reader of version {min_reader}, flags {flags:#x}); "
            f"this tidal reads version {ARCHIVE_VERSION}: upgrade it"
        )
    header = ArchiveHeader(
        LogIdentity(store_id, epoch, region, shard), base_seq, last_seq, batches, blocks, created_at,
        min_time, max_time, types, previous, final_hash, segment_bytes, stored_bytes, schema_bytes,
        directory_hash, stored_hash, plain_hash, dictionaries, version >= ARCHIVE_VERSION,
    )  # fmt: skip
    if version <= ARCHIVE_VERSION and not version == min_reader == header.version:
        raise FormatError(f"version {version} for readers of {min_reader}, with {dictionaries} dictionaries")
    if any(reserved) or dictionaries > DICTIONARIES_MAX or header.events != events:
        raise FormatError("the archive's header has values that are never written")
    if not (1 <= base_seq <= last_seq and 1 <= batches <= events and 1 <= blocks <= min(events, BLOCKS_MAX)):
        raise FormatError(f"{batches} batches in {blocks} blocks of events {base_seq} to {last_seq}")
    if header.min_time > header.max_time or not any(header.types) or schema_bytes > SCHEMA_BYTES_MAX:
        raise FormatError("the archive's header has values that are never written")
    if header.file_bytes != file_bytes:
        raise FormatError(f"the file has {file_bytes} bytes, its header says {header.file_bytes}")
    return header


def check_directory(header: ArchiveHeader, data: bytes) -> None:
    """Raise FormatError unless these are schema and directory as the header's hash has them."""
    if blake3(data).digest() != header.directory_hash:
        raise FormatError("schema and directory do not match their hash")


def cut_directory(
    header: ArchiveHeader, directory: bytes | memoryview
) -> tuple[bytes | memoryview, bytes | memoryview]:
    """Return the rows of blocks and those of dictionaries."""
    end = header.blocks * BLOCK_ENTRY.size
    return directory[:end], directory[end:]


def decode_dictionaries(
    header: ArchiveHeader, rows: bytes | memoryview
) -> list[tuple[DictionaryEntry, tuple[int, int]]]:
    """Return the entries of a file's dictionaries, each with the places of its two copies.

    ``rows``: of the directory, as cut_directory() returns them, or the ``rows_bytes`` at the end of the file.
    """
    entries = list(decode_dictionary_entries(rows))
    if any(entry.order == BY_HASH for entry in entries) and not header.by_hash:
        raise FormatError("a dictionary by hash, in a file whose version has none")
    first, size = header.directory_end, stored_bytes(entries)
    if header.stored_bytes <= 2 * size + header.rows_bytes:
        raise FormatError(f"dictionaries of {size} bytes in {header.stored_bytes}, twice, beside blocks")
    found = []
    for entry in entries:
        found.append((entry, (first, first + header.stored_bytes - size - header.rows_bytes)))
        first += entry.stored_bytes
    return found


def decode_entries(header: ArchiveHeader, directory: bytes | memoryview) -> Iterator[BlockEntry]:
    """Yield the rows of a checked directory; FormatError where they do not add up to what the header says."""
    blocks, rows = cut_directory(header, directory)
    words = sum(entry.stored_bytes for entry, _ in decode_dictionaries(header, rows))
    seq, offset = header.base_seq, header.directory_end + words
    min_time, max_time, types = header.max_time, header.min_time, bytes(len(header.types))
    for row in BLOCK_ENTRY.iter_unpack(blocks):
        entry = BlockEntry(*row[:4], *row[5:])
        if entry.first_seq != seq or entry.offset != offset or any(row[4]):
            raise FormatError(f"the block of event {entry.first_seq} does not lie where it must")
        if not (
            1 <= entry.events <= EVENTS_PER_BATCH_MAX
            and SUMMARY.size < entry.stored_bytes <= _BLOCK_BYTES_MAX
            and entry.plain_bytes <= BLOCK_PLAIN_BYTES_MAX
        ):
            raise FormatError(f"the block of event {seq} has lengths that are never written")
        yield entry
        seq, offset = seq + entry.events, offset + entry.stored_bytes
        min_time, max_time = min(min_time, entry.min_time), max(max_time, entry.max_time)
        if types != entry.types:  # as they mostly are
            types = union_types(types, entry.types)
    whole = (
        header.last_seq + 1,
        header.file_bytes - words - header.rows_bytes,
        header.min_time,
        header.max_time,
        header.types,
    )
    if (seq, offset, min_time, max_time, types) != whole:
        raise FormatError("the directory does not agree with the header")


def decode_block(entry: BlockEntry, stored: bytes, shared: Shared | None = None) -> EventBatch:
    """Return the events of a block; FormatError unless these are its bytes, and what they must be.

    ``shared``: the file's dictionaries, by tag. Nothing is decompressed before the hash is checked, nor
    beyond the length that the directory names.
    """
    if len(stored) != entry.stored_bytes or blake3(stored).digest() != entry.hash:
        raise FormatError(f"the block of event {entry.first_seq} does not match its hash")
    payload = cut_payload(memoryview(stored))
    if payload.summary[:3] != (entry.min_time, entry.max_time, entry.types):
        raise FormatError(f"the block of event {entry.first_seq} has another summary than its directory")
    if (plain := payload.plain_bytes) != entry.plain_bytes:
        raise FormatError(
            f"the block of event {entry.first_seq} has {plain} plain bytes, not {entry.plain_bytes}"
        )
    return payload.decode(entry.events, shared or {})


def _header_hash(head: bytes) -> bytes:
    return blake3(_HEADER_DOMAIN + head).digest()
