"""What a database returns: results of an ingest, rankings with names, and tables of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.ingest import RefusedRow
from tidal.ledger import Ranking


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did. Sequences are 0 where no event was accepted."""

    first_seq: int
    last_seq: int
    count: int
    duplicates: int = 0
    refused: tuple[RefusedRow, ...] = ()


class Top:
    """Entities and what they were ranked by, best first.

    ``ids`` is uint64[n], ``values`` float64[n]; ``keys`` are the string keys of the ids, None where an entity was
    named by id only. Iterating gives (key or id, value).
    """

    def __init__(self, ranking: Ranking, names: Callable[[Iterable[int]], list[str | None]]) -> None:
        self.ids, self.values = ranking
        self._names = names

    @property
    def keys(self) -> list[str | None]:
        return self._names(self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str | int, float]]:
        for entity_id, key, value in zip(self.ids.tolist(), self.keys, self.values.tolist(), strict=True):
            yield (entity_id if key is None else key), value

    def __repr__(self) -> str:
        rows = [f"{entity!r}: {value:.6g}" for entity, value in self]
        return f"Top({', '.join(rows[:5])}{', ...' if len(rows) > 5 else ''})"


class Columns(Mapping[str, NDArray[Any]]):
    """A table as named NumPy columns of one length."""

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def __repr__(self) -> str:
        return f"Columns({self.rows} rows: {', '.join(self._columns)})"
