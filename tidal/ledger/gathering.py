"""Many batches applied together, in less time than one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tidal._ext.columns import all_equal
from tidal._ext.gathered_places import HomedWords
from tidal.ledger.table import Table
from tidal.schema.events import NOTE_TYPE_ID, U64, CodedIds, EventBatch, Ids, plain_ids

Columns = tuple[Ids, NDArray[np.float32], NDArray[np.int64]]  # entities, weights, times

GATHERED_BYTES: Final = 1 << 25  # of more events, more are about one entity; 16 bytes by place, 20 by id
TYPES_BY_PLACE: Final = 16
_ID_BYTES: Final = 20  # of an event that waits with its entity's id, and with a place
_PLACE_BYTES: Final = 16
ENTITIES_MIN: Final = 1 << 18  # whose records, 17 MB, leave no room in the cache for much else


class LedgerGathering:
    """Batches on their way to a ledger, which has them all at the end of the ``with`` block.

    With ENTITIES_MIN entities and more, or as many words in the dictionary of a batch, up to GATHERED_BYTES
    wait to be applied by entity. Where the block ends by an error, those that wait are dropped.
    """

    def __init__(self, table_of: Callable[[int], Table], shards: int) -> None:
        self._table_of, self._shards = table_of, shards
        self._by_id: dict[int, _Gathered] = {}
        self._words: U64 | None = (
            None  # the dictionary of the last batch that had one so large, with the shards of its words
        )
        self._homed: HomedWords | None = None

    def add(self, batch: EventBatch) -> None:
        """Take in a batch, after those that came before; operations of sessions are passed over.

        SchemaError for a type id that the schema does not have.
        """
        for type_id, (entities, weights, times) in by_type(batch):
            if (gathered := self._by_id.get(type_id)) is None:
                gathered = self._by_id[type_id] = _Gathered(self._table_of(type_id))
            if isinstance(entities, CodedIds) and gathered.by_place(entities, len(batch)):
                gathered.add_places(entities.places, self._home(entities.words), weights, times)
            else:
                gathered.add_ids(plain_ids(entities), weights, times)
        if sum(it.waiting_bytes for it in self._by_id.values()) >= GATHERED_BYTES:
            self._apply()

    def _home(self, words: U64) -> HomedWords:
        if self._homed is None or words is not self._words:
            self._words, self._homed = words, HomedWords(words, self._shards)
        return self._homed

    def _apply(self) -> None:
        for gathered in self._by_id.values():
            gathered.apply()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._apply()


class _Gathered:
    """The events of one type that wait: by id or by place, never both."""

    def __init__(self, table: Table) -> None:
        self._ids = table.gathering_by_id(ENTITIES_MIN)
        self._places = table.gathering_by_place()
        self._words: U64 | None = None  # the dictionary for which it was decided last
        self._by_place = False

    def by_place(self, entities: CodedIds, events: int) -> bool:
        """Return whether events with this dictionary, of a batch of so many, are gathered by place.

        It takes 4 bytes for each word, whoever uses it: not for types that few of the events are of.
        """
        if entities.words is not self._words:
            self._words = entities.words
            many = len(entities.words) >= ENTITIES_MIN
            self._by_place = many and len(entities) * TYPES_BY_PLACE >= events
        return self._by_place

    def add_ids(self, ids: U64, weights: NDArray[np.float32], times: NDArray[np.int64]) -> None:
        self._places.apply()
        self._ids.add(ids, weights, times)

    def add_places(
        self,
        places: NDArray[np.uint32],
        words: HomedWords,
        weights: NDArray[np.float32],
        times: NDArray[np.int64],
    ) -> None:
        self._ids.apply()
        self._places.add(places, words, weights, times)

    def apply(self) -> None:
        self._ids.apply()
        self._places.apply()

    @property
    def waiting_bytes(self) -> int:
        return _ID_BYTES * len(self._ids) + _PLACE_BYTES * len(self._places)


def by_type(batch: EventBatch) -> Iterator[tuple[int, Columns]]:
    """Yield the events of each signal type in a batch, in order."""
    if len(batch) == 0:
        return
    first = batch.type_id[0]
    if first != NOTE_TYPE_ID and all_equal(batch.type_id):
        yield int(first), (batch.entities, batch.weight, batch.timestamp)
        return
    for type_id in np.unique(batch.type_id[batch.type_id != NOTE_TYPE_ID]):
        rows = np.flatnonzero(batch.type_id == type_id)
        yield int(type_id), (batch.entities[rows], batch.weight[rows], batch.timestamp[rows])
