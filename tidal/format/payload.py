"""The payload of a log batch: one EventBatch as bytes.

    +-------------------+----------------------------+----------------------------+
    | summary <64>      | directory <16 x columns>   | columns, in that order     |
    +-------------------+----------------------------+----------------------------+

The summary lets a reader skip the batch without decompressing a column. Columns come in ascending
order of their tags, each once; the lengths in the directory add up to the payload exactly. Bits of
an id column that has no value are zero, and a validity column is there only if it says something.
Everything is little-endian. A decoder refuses whatever the encoder would not have written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import blake3
import numpy as np
from numpy.typing import NDArray

from tidal._ext import columns as kernels
from tidal.errors import FormatError
from tidal.format.columns import (
    CODEC_CONSTANT,
    CODEC_PLANES,
    CODEC_RAW,
    CODEC_SHARED,
    decode_constant,
    decode_shared,
    decode_words,
    encode_words,
    squeeze,
    unsqueeze,
)
from tidal.schema.events import (
    NOTE_BYTES_MAX,
    TIME_MAX_NS,
    TIME_MIN_NS,
    U32,
    U64,
    EventBatch,
    IdColumn,
    Ids,
    NewKey,
    plain_ids,
)
from tidal.schema.spec import KINDS

# These numbers are on disk and do not change.
EVENTS_PER_BATCH_MAX: Final = 65_536
KEYS_BYTES_MAX: Final = 1 << 24  # of all new keys of a batch
KEY_BYTES_MAX: Final = (1 << 16) - 1  # of one key in UTF-8
KEYS_PER_EVENT_MAX: Final = 6  # an event names two ids, which may be of each of the three kinds
NOTES_BYTES_MAX: Final = 1 << 23  # of all notes of a batch, with their lengths
PAYLOAD_BYTES_MAX: Final = 1 << 25

TAG_ENTITY_ID: Final = 1
TAG_TYPE_ID: Final = 2
TAG_WEIGHT: Final = 3
TAG_TIMESTAMP: Final = 4
TAG_USER_ID: Final = 5
TAG_USER_VALID: Final = 6
TAG_SESSION_ID: Final = 7
TAG_SESSION_VALID: Final = 8
TAG_EVENT_ID: Final = 9
TAG_EVENT_VALID: Final = 10
TAG_NEW_KEYS: Final = 11
TAG_NOTES: Final = 12

FORM_BITS: Final = 0  # the words are the values' bits
FORM_WHOLE: Final = 1  # weights only: the words are zigzag integers

SUMMARY: Final = struct.Struct("<qq32sqH6s")  # min time, max time, types, received at, columns, reserved
DIRECTORY: Final = struct.Struct("<BBBBIII")  # tag, codec, form, compression, raw, stored, parameter
KEY: Final = struct.Struct("<BHQ")  # kind, length, id; then the UTF-8 bytes
NOTE: Final = struct.Struct("<H")  # length; then the bytes

# Columns whose ids may be kept as places in a dictionary of the file: those that many events have in common.
SHARED_TAGS: Final = (TAG_ENTITY_ID, TAG_USER_ID, TAG_SESSION_ID)

Shared = Mapping[int, U64]  # the dictionaries of a file, by tag
CodesOf = Mapping[int, Callable[[U64], U32]]  # the places of ids in them

_NOTHING_SHARED: Final[Shared] = {}
_NO_CODES: Final[CodesOf] = {}
_REQUIRED = (TAG_ENTITY_ID, TAG_TYPE_ID, TAG_WEIGHT, TAG_TIMESTAMP)
_VALIDITY_TAGS = (TAG_USER_VALID, TAG_SESSION_VALID, TAG_EVENT_VALID)
_TAGS_MAX = TAG_NOTES

TYPE_IDS: Final = 256
TypeSet = bytes  # 32 bytes: bit t % 8 of byte t // 8 is set if type t occurs


def type_set(type_ids: tuple[int, ...] | list[int] | set[int]) -> TypeSet:
    """Return the set of these type ids, as a summary holds it.

    >>> type_set({0, 9})[:3].hex()
    '010200'
    """
    return sum(1 << t for t in set(type_ids)).to_bytes(32, "little")


def type_ids(types: TypeSet) -> list[int]:
    """Return the type ids of a set, ascending.

    >>> type_ids(type_set({9, 0}))
    [0, 9]
    """
    bits = int.from_bytes(types, "little")
    return [type_id for type_id in range(8 * len(types)) if bits >> type_id & 1]


def union_types(left: TypeSet, right: TypeSet) -> TypeSet:
    """Return the types of either set."""
    return (int.from_bytes(left, "little") | int.from_bytes(right, "little")).to_bytes(32, "little")


def share_types(left: TypeSet, right: TypeSet) -> bool:
    """Return whether some type is in both sets."""
    return bool(int.from_bytes(left, "little") & int.from_bytes(right, "little"))


def item_bytes(tag: int) -> int:
    """Return the bytes of one item of a column, before it is stored."""
    return 1 if tag == TAG_TYPE_ID or tag in _VALIDITY_TAGS else 4 if tag == TAG_WEIGHT else 8


class Summary(NamedTuple):
    """What a reader knows of a batch without decompressing it. Times in ns, both ends included."""

    min_time: int
    max_time: int
    types: TypeSet
    received_at: int


class EncodedPayload(NamedTuple):
    """A batch ready for the log: the bytes, their BLAKE3 digest, and what the header needs to know."""

    payload: bytes
    digest: bytes
    events: int
    summary: Summary


class _Entry(NamedTuple):
    tag: int
    codec: int
    form: int
    compression: int
    raw_bytes: int
    stored_bytes: int
    parameter: int


_Column = tuple[_Entry, memoryview]
_Columns = Mapping[int, _Column]


class CutPayload(NamedTuple):
    """A payload as its summary and its columns by tag."""

    summary: Summary
    columns: _Columns

    @property
    def plain_bytes(self) -> int:
        """The bytes that the columns have when they are decompressed."""
        return sum(entry.raw_bytes for entry, _ in self.columns.values())

    def decode(self, count: int, shared: Shared) -> EventBatch:
        """decode_payload() of it."""
        if not 1 <= count <= EVENTS_PER_BATCH_MAX:
            raise FormatError(f"a batch of {count} events")
        try:
            batch = _decode_columns(self.columns, count, shared)
        except FormatError:
            raise
        except ValueError as error:  # of the kernels, which know no error of ours
            raise FormatError(str(error)) from error
        if kernels.summarise(batch.timestamp, batch.type_id) != self.summary[:3]:
            raise FormatError("the summary does not agree with the columns")
        if batch.notes and len(batch.notes) != len(batch.note_rows()):
            raise FormatError(f"{len(batch.notes)} notes for {len(batch.note_rows())} events that have one")
        return batch


# ------------------------------------------------------------------------------------ encode


def encode_payload(
    batch: EventBatch, received_at: int, *, small: bool = False, codes: CodesOf = _NO_CODES
) -> EncodedPayload:
    """Return the payload of a batch, received at that wall time (ns).

    ``small``: as few bytes as there can be, for what is written once and kept; it takes several times
    as long. ``codes``, by tag, give the places of a column's ids in a dictionary that is kept beside
    the payload. Any choice is decoded alike.

    ValueError for no events, more than EVENTS_PER_BATCH_MAX, a weight that is not finite, a time outside
    TIME_MIN_NS to TIME_MAX_NS, keys beyond KEY_BYTES_MAX, KEYS_BYTES_MAX or KEYS_PER_EVENT_MAX, notes
    beyond NOTE_BYTES_MAX or NOTES_BYTES_MAX, or another number of them than there are events that have one:
    splitting and checking are the caller's.
    """
    count = len(batch)
    if not 1 <= count <= EVENTS_PER_BATCH_MAX:
        raise ValueError(f"a batch of {count} events; split it into 1 to {EVENTS_PER_BATCH_MAX}")
    if len(batch.new_keys) > count * KEYS_PER_EVENT_MAX:
        raise ValueError(f"{len(batch.new_keys)} new keys for {count} events")
    min_time, max_time, types = kernels.summarise(batch.timestamp, batch.type_id)
    if not TIME_MIN_NS <= min_time <= max_time <= TIME_MAX_NS:
        raise ValueError(
            f"times from {min_time} to {max_time} ns; they are in {TIME_MIN_NS} to {TIME_MAX_NS}"
        )
    if batch.notes:
        _check_notes(batch)
    directory, columns = [], []
    for entry, stored in _encode_columns(batch, small, codes):
        directory.append(DIRECTORY.pack(*entry))
        columns.append(stored)
    head = SUMMARY.pack(min_time, max_time, types, received_at, len(columns), bytes(6))
    payload = b"".join([head, *directory, *columns])
    summary = Summary(min_time, max_time, types, received_at)
    return EncodedPayload(payload, blake3.blake3(payload).digest(), count, summary)


def _encode_columns(batch: EventBatch, small: bool, codes: CodesOf) -> Iterator[tuple[_Entry, bytes]]:
    yield _encode_ids(TAG_ENTITY_ID, batch.entity_id, small, codes)
    yield _encode_words(TAG_TYPE_ID, batch.type_id.astype(np.uint64), small)
    yield _encode_weight(batch.weight, small)
    yield _encode_words(TAG_TIMESTAMP, batch.timestamp.view(np.uint64), small)
    for tag, column in (
        (TAG_USER_ID, batch.user_id),
        (TAG_SESSION_ID, batch.session_id),
        (TAG_EVENT_ID, batch.event_id),
    ):
        if column is not None:
            yield from _encode_optional(tag, column, len(batch), small, codes)
    if batch.new_keys:
        yield _encode_keys(batch.new_keys, small)
    if batch.notes:
        yield _encode_notes(batch.notes, small)


def _encode_ids(tag: int, words: U64, small: bool, codes: CodesOf) -> tuple[_Entry, bytes]:
    return _encode_words(tag, words, small, codes=codes[tag](words) if tag in codes else None)


def _encode_words(
    tag: int, words: U64, small: bool, form: int = FORM_BITS, codes: U32 | None = None
) -> tuple[_Entry, bytes]:
    column = encode_words(words, item_bytes(tag), small=small, codes=codes)
    raw = len(words) * item_bytes(tag)
    entry = _Entry(tag, column.codec, form, column.compression, raw, len(column.stored), column.parameter)
    return entry, column.stored


def _encode_weight(weight: NDArray[np.float32], small: bool) -> tuple[_Entry, bytes]:
    if (whole := kernels.whole_weights(weight)) is not None:
        return _encode_words(TAG_WEIGHT, whole, small, FORM_WHOLE)
    if not bool(np.isfinite(weight).all()):
        raise ValueError("a weight is not finite")
    return _encode_words(TAG_WEIGHT, weight.view(np.uint32).astype(np.uint64), small)


def _encode_optional(
    tag: int, column: IdColumn, count: int, small: bool, codes: CodesOf
) -> Iterator[tuple[_Entry, bytes]]:
    values, valid = column
    if len(values) != count or (valid is not None and len(valid) != count):
        raise ValueError(f"an id column does not have the {count} rows of its batch")
    if valid is None or bool(valid.all()):
        yield _encode_ids(tag, values, small, codes)
    elif bool(valid.any()):
        yield _encode_ids(tag, known_or_zero(column), small, codes)
        packed = np.packbits(valid, bitorder="little").astype(np.uint64)
        yield _encode_words(tag + 1, packed, small)


def known_or_zero(column: IdColumn) -> U64:
    """Return the ids as a payload has them: zero for a row that has none."""
    return column.values if column.valid is None else np.where(column.valid, column.values, np.uint64(0))


def _encode_keys(keys: tuple[NewKey, ...], small: bool) -> tuple[_Entry, bytes]:
    parts = []
    for kind, key_id, text in keys:
        encoded = text.encode()
        if len(encoded) > KEY_BYTES_MAX:
            raise ValueError(f"a key of {len(encoded)} bytes; the longest is {KEY_BYTES_MAX}")
        parts += [KEY.pack(KINDS.index(kind), len(encoded), key_id), encoded]
    plain = b"".join(parts)
    if len(plain) > KEYS_BYTES_MAX:
        raise ValueError(f"{len(plain)} bytes of new keys in a batch; the most is {KEYS_BYTES_MAX}")
    compression, stored = squeeze(plain, small=small)
    return _Entry(TAG_NEW_KEYS, CODEC_RAW, FORM_BITS, compression, len(plain), len(stored), len(keys)), stored


def note_bytes(notes: Iterable[bytes]) -> int:
    """Return the bytes that notes take in a payload before they are compressed."""
    return sum(NOTE.size + len(note) for note in notes)


def _check_notes(batch: EventBatch) -> None:
    if len(batch.notes) != (due := len(batch.note_rows())):
        raise ValueError(f"{len(batch.notes)} notes for {due} events that have one")
    if (longest := max(map(len, batch.notes))) > NOTE_BYTES_MAX:
        raise ValueError(f"a note of {longest} bytes; the longest is {NOTE_BYTES_MAX}")
    if (total := note_bytes(batch.notes)) > NOTES_BYTES_MAX:
        raise ValueError(f"{total} bytes of notes in a batch; the most is {NOTES_BYTES_MAX}")


def _encode_notes(notes: tuple[bytes, ...], small: bool) -> tuple[_Entry, bytes]:
    plain = b"".join(part for note in notes for part in (NOTE.pack(len(note)), note))
    compression, stored = squeeze(plain, small=small)
    return _Entry(TAG_NOTES, CODEC_RAW, FORM_BITS, compression, len(plain), len(stored), len(notes)), stored


# ------------------------------------------------------------------------------------ decode


def decode_summary(payload: memoryview) -> Summary:
    """Return the summary at the start of a payload."""
    return _decode_head(payload)[0]


def decode_payload(payload: memoryview, count: int, shared: Shared = _NOTHING_SHARED) -> EventBatch:
    """Return the batch of count events that encode_payload wrote, or raise FormatError.

    ``shared`` are the dictionaries that lie beside it, by tag. A validity column that was all true comes back
    as None, an id column that was all unknown as no column, and unknown ids as 0.
    """
    return cut_payload(payload).decode(count, shared)


def cut_payload(payload: memoryview) -> CutPayload:
    """Return a payload's columns, of which none is decompressed yet."""
    summary, columns = _decode_head(payload)
    return CutPayload(summary, dict(_cut_columns(payload, columns)))


def _decode_head(payload: memoryview) -> tuple[Summary, int]:
    if len(payload) < SUMMARY.size:
        raise FormatError(f"a payload of {len(payload)} bytes has no room for its summary")
    min_time, max_time, types, received_at, columns, reserved = SUMMARY.unpack_from(payload)
    if any(reserved) or not TIME_MIN_NS <= min_time <= max_time <= TIME_MAX_NS or not any(types):
        raise FormatError("bad summary")
    if not len(_REQUIRED) <= columns <= _TAGS_MAX:
        raise FormatError(f"{columns} columns")
    return Summary(min_time, max_time, types, received_at), columns


def _cut_columns(payload: memoryview, columns: int) -> Iterator[tuple[int, tuple[_Entry, memoryview]]]:
    offset = SUMMARY.size + columns * DIRECTORY.size
    if offset > len(payload):
        raise FormatError(f"a payload of {len(payload)} bytes has no room for {columns} columns")
    last_tag = 0
    for row in DIRECTORY.iter_unpack(payload[SUMMARY.size : offset]):
        entry = _Entry._make(row)
        if not last_tag < entry.tag <= _TAGS_MAX:
            raise FormatError(f"column {entry.tag} after column {last_tag}")
        if entry.form > FORM_BITS and (entry.tag != TAG_WEIGHT or entry.form != FORM_WHOLE):
            raise FormatError(f"column {entry.tag} in form {entry.form}")
        if entry.stored_bytes > len(payload) - offset:
            raise FormatError(f"column {entry.tag} goes beyond the payload")
        last_tag = entry.tag
        yield entry.tag, (entry, payload[offset : offset + entry.stored_bytes])
        offset += entry.stored_bytes
    if offset != len(payload):
        raise FormatError(f"{len(payload) - offset} bytes after the last column")


def _decode_columns(columns: _Columns, count: int, shared: Shared) -> EventBatch:
    if missing := [tag for tag in _REQUIRED if tag not in columns]:
        raise FormatError(f"column {missing[0]} is missing")
    return EventBatch(
        entities=_ids(columns[TAG_ENTITY_ID], count, shared),
        type_id=_decode_types(columns[TAG_TYPE_ID], count),
        weight=_decode_weight(columns[TAG_WEIGHT], count),
        timestamp=_words(columns[TAG_TIMESTAMP], count).view(np.int64),
        user_id=_decode_optional(columns, TAG_USER_ID, count, shared),
        session_id=_decode_optional(columns, TAG_SESSION_ID, count, shared),
        event_id=_decode_optional(columns, TAG_EVENT_ID, count, shared),
        new_keys=_decode_keys(*columns[TAG_NEW_KEYS], count) if TAG_NEW_KEYS in columns else (),
        notes=_decode_notes(*columns[TAG_NOTES], count) if TAG_NOTES in columns else (),
    )


def _check_size(entry: _Entry, count: int) -> int:
    item = item_bytes(entry.tag)
    if entry.raw_bytes != count * item:
        raise FormatError(f"column {entry.tag} has {entry.raw_bytes} bytes; {count} x {item} are due")
    return item


def _ids(column: _Column, count: int, shared: Shared) -> Ids:
    entry, stored = column
    if entry.codec != CODEC_SHARED:
        return _words(column, count)
    _check_size(entry, count)
    if (ids := shared.get(entry.tag)) is None:
        raise FormatError(f"column {entry.tag} is of a dictionary that is not there")
    return decode_shared(entry.compression, entry.parameter, stored, count, ids)


def _words(column: _Column, count: int) -> U64:
    entry, stored = column
    item = _check_size(entry, count)
    return decode_words(entry.codec, entry.compression, entry.parameter, stored, count, item)


def _decode_types(column: _Column, count: int) -> NDArray[np.uint8]:
    entry, stored = column
    if entry.codec != CODEC_CONSTANT:
        return _words(column, count).astype(np.uint8)
    _check_size(entry, count)
    if (type_id := decode_constant(entry.compression, entry.parameter, stored)) >= TYPE_IDS:
        raise FormatError(f"signal type {type_id}")
    types = np.empty(count, np.uint8)
    types.fill(type_id)
    return types


def _decode_weight(column: _Column, count: int) -> NDArray[np.float32]:
    entry, stored = column
    if entry.form == FORM_WHOLE and entry.codec == CODEC_PLANES and entry.parameter == 1:
        _check_size(entry, count)
        return kernels.weights_of_plane(unsqueeze(entry.compression, stored, count), count)
    words = _words(column, count)
    if entry.form == FORM_WHOLE:
        return kernels.weights_of_whole(words)
    weight = words.astype(np.uint32).view(np.float32)
    if not bool(np.isfinite(weight).all()):
        raise FormatError("a weight is not finite")
    return weight


def _decode_optional(columns: _Columns, tag: int, count: int, shared: Shared) -> IdColumn | None:
    validity = columns.get(tag + 1)
    if tag not in columns:
        if validity is not None:
            raise FormatError(f"column {tag + 1} without column {tag}")
        return None
    values = plain_ids(_ids(columns[tag], count, shared))
    if validity is None:
        return IdColumn(values)
    packed = _words(validity, (count + 7) // 8).astype(np.uint8)
    bits = np.unpackbits(packed, bitorder="little").view(np.bool_)
    valid = bits[:count]
    if bits[count:].any() or valid.all() or not valid.any() or values[~valid].any():
        raise FormatError(f"column {tag + 1} is not how validity is written")
    return IdColumn(values, valid)


def _decode_keys(entry: _Entry, stored: memoryview, count: int) -> tuple[NewKey, ...]:
    if entry.codec != CODEC_RAW or entry.raw_bytes > KEYS_BYTES_MAX:
        raise FormatError(f"{entry.raw_bytes} bytes of new keys in codec {entry.codec}")
    keys_most = min(count * KEYS_PER_EVENT_MAX, entry.raw_bytes // KEY.size)
    if not -(-entry.raw_bytes // (KEY.size + KEY_BYTES_MAX)) <= entry.parameter <= keys_most:
        raise FormatError(f"{entry.parameter} new keys in {entry.raw_bytes} bytes for {count} events")
    plain = unsqueeze(entry.compression, stored, entry.raw_bytes)
    keys: list[NewKey] = []
    offset = 0
    while offset < len(plain):
        if len(plain) - offset < KEY.size or len(keys) == entry.parameter:
            raise FormatError("a new key is cut off, or one too many")
        kind, length, key_id = KEY.unpack_from(plain, offset)
        offset += KEY.size
        if kind >= len(KINDS) or length > len(plain) - offset:
            raise FormatError(f"a new key of kind {kind} and {length} bytes")
        try:
            keys.append(NewKey(KINDS[kind], key_id, str(plain[offset : offset + length], "utf-8")))
        except UnicodeDecodeError as error:
            raise FormatError("a new key is not UTF-8") from error
        offset += length
    if len(keys) != entry.parameter or not keys:
        raise FormatError(f"{len(keys)} new keys where {entry.parameter} are due")
    return tuple(keys)


def _decode_notes(entry: _Entry, stored: memoryview, count: int) -> tuple[bytes, ...]:
    if entry.codec != CODEC_RAW or entry.raw_bytes > NOTES_BYTES_MAX:
        raise FormatError(f"{entry.raw_bytes} bytes of notes in codec {entry.codec}")
    most = min(count, entry.raw_bytes // NOTE.size)
    if not -(-entry.raw_bytes // (NOTE.size + NOTE_BYTES_MAX)) <= entry.parameter <= most or not most:
        raise FormatError(f"{entry.parameter} notes in {entry.raw_bytes} bytes for {count} events")
    plain = unsqueeze(entry.compression, stored, entry.raw_bytes)
    notes: list[bytes] = []
    offset = 0
    while offset < len(plain):
        if len(plain) - offset < NOTE.size or len(notes) == entry.parameter:
            raise FormatError("a note is cut off, or one too many")
        (length,) = NOTE.unpack_from(plain, offset)
        offset += NOTE.size
        if length > len(plain) - offset:
            raise FormatError(f"a note of {length} bytes")
        notes.append(bytes(plain[offset : offset + length]))
        offset += length
    if len(notes) != entry.parameter:
        raise FormatError(f"{len(notes)} notes where {entry.parameter} are due")
    return tuple(notes)
