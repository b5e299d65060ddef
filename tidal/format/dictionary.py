"""The dictionaries of an archive file: ids that many of its events have in common, each written once.

A dictionary is a column of ids; columns of the file's blocks are places in it (CODEC_SHARED), in the order in
which it is stored or, where many of its ids ascend, by their hashes. All blocks hang on it, so a file has
each dictionary twice, far apart: before its blocks and behind them; and its entry twice, in the directory and
at the end of the file. The hash in an entry is of what the entry says and of the bytes, so an entry that is
changed brings in no other ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from blake3 import blake3

from tidal._ext.hash_order import in_hash_order
from tidal.errors import FormatError
from tidal.format.columns import CODEC_DICTIONARY, decode_words, encode_words
from tidal.format.payload import SHARED_TAGS
from tidal.schema.events import U64

# These numbers are on disk and do not change.
DICTIONARY_ENTRY: Final = struct.Struct("<BBBBIIB3s32s")  # tag, codec, compression, parameter, ids, ...
_HASHED: Final = DICTIONARY_ENTRY.size - 32
DICTIONARY_IDS_MAX: Final = 1 << 21  # of all dictionaries of a file: 16 MiB, and 20 more while it is decoded
DICTIONARIES_MAX: Final = len(SHARED_TAGS)
AS_STORED: Final = 0  # the order in which a dictionary's ids have their places
BY_HASH: Final = 1  # in_hash_order() of that

_ID_BYTES = 8


class DictionaryEntry(NamedTuple):
    """What the front of a file says of a dictionary."""

    tag: int  # of the columns that use it
    codec: int
    compression: int
    parameter: int
    ids: int
    stored_bytes: int  # of each copy
    order: int = AS_STORED
    hash: bytes = bytes(32)  # of the fields before it, and the stored bytes

    def hash_of(self, stored: bytes) -> bytes:
        """Return what the hash must be with these bytes."""
        return blake3(self.encode()[:_HASHED] + stored).digest()

    def encode(self) -> bytes:
        return DICTIONARY_ENTRY.pack(*self[:7], bytes(3), self.hash)


def encode_dictionary(tag: int, ids: U64, *, by_hash: bool) -> tuple[DictionaryEntry, bytes, U64]:
    """Return the entry and the bytes of a dictionary of these distinct ids, and the ids by their places.

    ``by_hash``: have the places of those that ascend by hash, where they are many.
    """
    ordered = in_hash_order(ids) if by_hash else None
    codec, compression, parameter, stored = encode_words(ids, _ID_BYTES, small=True)
    order = AS_STORED if ordered is None else BY_HASH
    entry = DictionaryEntry(tag, codec, compression, parameter, len(ids), len(stored), order)
    return entry._replace(hash=entry.hash_of(stored)), stored, ids if ordered is None else ordered


def decode_dictionary_entries(rows: bytes | memoryview) -> Iterator[DictionaryEntry]:
    """Yield the entries of a checked front; FormatError for what is never written."""
    last_tag = ids = 0
    for row in DICTIONARY_ENTRY.iter_unpack(rows):
        tag, codec, compression, parameter, count, stored, order, reserved, digest = row
        entry = DictionaryEntry(tag, codec, compression, parameter, count, stored, order, digest)
        if order not in (AS_STORED, BY_HASH):
            raise FormatError(f"a dictionary of column {tag} in order {order}")
        if tag not in SHARED_TAGS or tag <= last_tag or any(reserved):
            raise FormatError(f"a dictionary of column {entry.tag} after that of column {last_tag}")
        last_tag, ids = entry.tag, ids + entry.ids
        if not 1 <= entry.ids <= ids <= DICTIONARY_IDS_MAX or not (
            1 <= entry.stored_bytes <= _ID_BYTES * (entry.ids + 1)
        ):
            raise FormatError(f"a dictionary of {entry.ids} ids in {entry.stored_bytes} bytes")
        yield entry


def decode_dictionary(entry: DictionaryEntry, stored: bytes) -> U64:
    """Return the ids of a dictionary by their places; FormatError unless these are its bytes.

    Nothing is decompressed before the hash is checked, nor beyond what the entry promises.
    """
    if len(stored) != entry.stored_bytes or entry.hash_of(stored) != entry.hash:
        raise FormatError(f"the dictionary of column {entry.tag} does not match its hash")
    if entry.codec == CODEC_DICTIONARY:
        raise FormatError("a dictionary of a dictionary")
    try:
        ids = decode_words(
            entry.codec, entry.compression, entry.parameter, memoryview(stored), entry.ids, _ID_BYTES
        )
    except FormatError:
        raise
    except ValueError as error:  # of the kernels, which know no error of ours
        raise FormatError(str(error)) from error
    ordered = in_hash_order(ids) if entry.order == BY_HASH else None
    return ids if ordered is None else ordered


def stored_bytes(entries: Sequence[DictionaryEntry]) -> int:
    """Return the bytes that one copy of all these takes."""
    return sum(entry.stored_bytes for entry in entries)
