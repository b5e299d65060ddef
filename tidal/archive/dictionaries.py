"""Dictionaries for the ids of a file, where they make it smaller, and read back from one."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidal._ext import columns as kernels
from tidal.durable import File
from tidal.errors import FormatError, StorageError
from tidal.format.columns import small_bytes
from tidal.format.dictionary import (
    DICTIONARY_IDS_MAX,
    DictionaryEntry,
    decode_dictionary,
    encode_dictionary,
)
from tidal.format.payload import (
    SHARED_TAGS,
    TAG_ENTITY_ID,
    TAG_SESSION_ID,
    TAG_USER_ID,
    known_or_zero,
)
from tidal.meters import said
from tidal.records import record
from tidal.schema import EventBatch
from tidal.schema.events import U32, U64, IdColumn

_logger = logging.getLogger(__name__)

Placed = Sequence[tuple[DictionaryEntry, tuple[int, int]]]  # and where its two copies begin

ENTRIES_DIFFER: Final = "the entries of dictionaries at the end of the file are not those of the directory"
_GAIN: Final = 0.95  # of the bytes that a column takes without a dictionary, what it may take with one
_COPIES: Final = 2
_ID_BYTES: Final = 8
_OFTEN: Final = 2  # events of an id, on average, for which a dictionary may pay
_SAMPLED: Final = 8  # one block of so many is tried without
HASHED_MIN: Final = 1 << 18  # ids that have their places by hash; from as many on, a replay goes by places


@record
class Dictionary:
    """The distinct ids of a column, encoded, and the place of each among them."""

    entry: DictionaryEntry
    stored: bytes
    places: U32  # by the code that ``distinct`` gives
    distinct: kernels.Distinct

    def codes(self, ids: U64) -> U32:
        """Return the place of each id; ValueError for an unknown one."""
        return self.places[self.distinct.codes(ids)]


class DictionariesFull(Exception):
    """Fewer events would do with the dictionaries that a file may have."""


def make_dictionaries(blocks: Iterable[EventBatch], *, or_fewer: bool = False) -> list[Dictionary]:
    """Return the dictionaries that make an archive of these blocks smaller, by ascending tag.

    ``or_fewer``: raise DictionariesFull where there is no room for a column that fewer blocks would have
    room for. Memory: 60 MiB of address space for each of the columns, of which 28 bytes for each distinct id
    are used.
    """
    columns: defaultdict[int, _Column] = defaultdict(_Column)
    for block in blocks:
        for tag, ids in _id_columns(block):
            columns[tag].add(ids)
        if or_fewer and sum(it.wanted for it in columns.values()) > DICTIONARY_IDS_MAX:
            raise DictionariesFull
    found, room = [], DICTIONARY_IDS_MAX
    for tag in SHARED_TAGS:
        if tag in columns and (dictionary := columns[tag].dictionary(tag, room)) is not None:
            room -= dictionary.entry.ids
            found.append(dictionary)
    return found


def _id_columns(batch: EventBatch) -> Iterator[tuple[int, U64]]:
    yield TAG_ENTITY_ID, batch.entity_id
    optional: tuple[tuple[int, IdColumn | None], ...] = (
        (TAG_USER_ID, batch.user_id), (TAG_SESSION_ID, batch.session_id)
    )  # fmt: skip
    for tag, column in optional:
        if column is not None:
            yield tag, known_or_zero(column)


class _Column:
    """What is seen of one id column of a file."""

    def __init__(self) -> None:
        self.distinct = kernels.Distinct(DICTIONARY_IDS_MAX)
        self._blocks = self._events = 0
        self._sampled = 0  # events of the blocks that were tried without a dictionary of the file
        self._sampled_bytes = 0  # what their ids took
        self._fits = True

    def add(self, ids: U64) -> None:
        if not self._fits:
            return
        self._events += len(ids)
        self._fits = self.distinct.add(ids)
        if self._fits:
            if self._blocks % _SAMPLED == 0:
                self._sampled += len(ids)
                self._sampled_bytes += small_bytes(ids, _ID_BYTES)
            self._blocks += 1

    @property
    def wanted(self) -> int:
        """How many ids a dictionary would have, at least; 0 where next to every event has one of its own."""
        count = len(self.distinct) if self._fits else DICTIONARY_IDS_MAX + 1
        return count if _OFTEN * count <= self._events else 0

    def dictionary(self, tag: int, room: int) -> Dictionary | None:
        """Return a dictionary of at most ``room`` ids; None where one would not pay.

        By how often an id comes, in steps of two, so that the places of most events are small numbers; then
        ascending, so that the dictionary itself is small. Where there are many, those of a step have their
        places by hash.
        """
        count = len(self.distinct)
        if not self._fits or not self._events or count > room:
            return None
        code_bytes = self._events * max(1, (count - 1).bit_length()) / 8
        most = _GAIN * self._events * self._sampled_bytes / self._sampled
        if code_bytes >= most:
            return None
        ids = self.distinct.values
        order = _in_steps(ids, self.distinct.counts)
        entry, stored, by_place = encode_dictionary(tag, ids[order], by_hash=count >= HASHED_MIN)
        if code_bytes + _COPIES * len(stored) >= most:
            return None
        places = np.empty(count, np.uint32)
        places[self.distinct.codes(by_place)] = np.arange(count, dtype=np.uint32)
        return Dictionary(entry, stored, places, self.distinct)


def _in_steps(ids: U64, counts: U32) -> NDArray[np.intp]:
    """Return the order of ids by how often they come, in steps of two, ascending within each step.

    What ascends has its places by hash as one, so no step goes on where the one before it ends: its first two
    ids change places where it would.
    """
    often = -np.frexp(counts)[1]
    order = np.lexsort((ids, often))
    for at in np.flatnonzero(np.diff(often[order])) + 1:
        two = at + 1 < len(order) and often[order[at]] == often[order[at + 1]]
        if two and ids[order[at - 1]] < ids[order[at]]:
            order[[at, at + 1]] = order[[at + 1, at]]
    return order


def read_copies(file: File, placed: Placed, number: int) -> Iterator[tuple[int, int, bytes, U64 | str]]:
    """Yield tag, place, bytes and ids of the first copies (0) or the second (1); what is wrong, for ids."""
    for entry, places in placed:
        stored = b""
        try:
            stored = file.read_at(places[number], entry.stored_bytes)
            yield entry.tag, places[number], stored, decode_dictionary(entry, stored)
        except (FormatError, StorageError) as error:
            yield entry.tag, places[number], stored, str(error)


def read_dictionaries(file: File, placed: Placed) -> dict[int, U64]:
    """Return the ids of a file's dictionaries by tag, each from the first copy that is good.

    A copy that is not is noted in the log; a dictionary without a good copy is left out.
    """
    shared: dict[int, U64] = {}
    for dictionary in placed:
        tag = dictionary[0].tag
        for number in range(_COPIES):
            ((_, place, _, ids),) = read_copies(file, [dictionary], number)
            if not isinstance(ids, str):
                shared[tag] = ids
                break
            _logger.warning(
                "%s, byte %d: %s; it has two copies", file.path, place, ids,
                extra=said("archive_dictionary_damaged", path=str(file.path), offset=place),
            )  # fmt: skip
    return shared
