"""Many batches applied together, in less time than one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from tidal._ext.gathering import Gathering
from tidal.ledger.table import Table
from tidal.schema.events import NOTE_TYPE_ID, EventBatch

Columns = tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.int64]]  # ids, weights, times

GATHERED_EVENTS: Final = 1 << 21  # 42 MB; of more, more are about one entity
ENTITIES_MIN: Final = 1 << 18  # whose records, 17 MB, leave no room in the cache for much else


class LedgerGathering:
    """Batches on their way to a ledger, which has them all at the end of the ``with`` block.

    With ENTITIES_MIN entities and more, up to GATHERED_EVENTS wait to be applied by entity. Where the block
    ends by an error, those that wait are dropped.
    """

    def __init__(self, table_of: Callable[[int], Table]) -> None:
        self._table_of = table_of
        self._by_id: dict[int, Gathering] = {}

    def add(self, batch: EventBatch) -> None:
        """Take in a batch, after those that came before; operations of sessions are passed over.

        SchemaError for a type id that the schema does not have.
        """
        for type_id, columns in by_type(batch):
            if (gathering := self._by_id.get(type_id)) is None:
                gathering = self._by_id[type_id] = self._table_of(type_id).gathering(ENTITIES_MIN)
            gathering.add(*columns)
        if sum(map(len, self._by_id.values())) >= GATHERED_EVENTS:
            self._apply()

    def _apply(self) -> None:
        for gathering in self._by_id.values():
            gathering.apply()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._apply()


def by_type(batch: EventBatch) -> Iterator[tuple[int, Columns]]:
    """Yield the events of each signal type in a batch, in order."""
    if len(batch) == 0:
        return
    first = batch.type_id[0]
    if first != NOTE_TYPE_ID and (batch.type_id == first).all():
        yield int(first), (batch.entity_id, batch.weight, batch.timestamp)
        return
    for type_id in np.unique(batch.type_id[batch.type_id != NOTE_TYPE_ID]):
        rows = np.flatnonzero(batch.type_id == type_id)
        yield int(type_id), (batch.entity_id[rows], batch.weight[rows], batch.timestamp[rows])
