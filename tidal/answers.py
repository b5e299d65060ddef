"""What a database returns: results of an ingest, rankings with names, and tables of columns."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal._ext.arrow_export import export_schema, export_stream
from tidal.ingest import RefusedRow
from tidal.ledger import Ranking
from tidal.records import record


@record
class Ingested:
    """What an ingest did. Sequences are 0 where no event was accepted."""

    first_seq: int
    last_seq: int
    count: int
    duplicates: int = 0
    refused: tuple[RefusedRow, ...] = ()


class Top:
    """Entities and what they were ranked by, best first.

    ``ids`` is uint64[n], ``values`` float64[n]; ``keys`` are the string keys of the ids, None where an entity
    was named by id only. Iterating gives (key or id, value). Any Arrow consumer takes it as a table of
    ``entity_id``, ``key`` and ``value``.
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

    def __arrow_c_schema__(self) -> object:
        return self._columns().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._columns().__arrow_c_stream__(requested_schema)

    def _columns(self) -> Columns:
        return Columns({"entity_id": self.ids, "key": self.keys, "value": self.values})

    def __repr__(self) -> str:
        rows = [f"{entity!r}: {value:.6g}" for entity, value in self]
        return f"Top({', '.join(rows[:5])}{', ...' if len(rows) > 5 else ''})"


class Columns:
    """A table as named NumPy columns of one length, which any Arrow consumer takes too.

    A column of texts may be given as a list of str and None; it is kept as an array of objects. ``times``
    names the int64 columns that are ns since the epoch: Arrow gets them as timestamps in UTC.

    polars.DataFrame(), pyarrow.table(), duckdb.sql() and pandas.DataFrame.from_arrow() take it. Numbers are
    handed over without a copy, so do not change an array that a consumer still holds. It is no Mapping:
    polars would then read it column by column and miss the Arrow types.

    >>> columns = Columns({"entity_id": np.array([7, 9], "u8"), "key": ["a", None]})
    >>> columns["entity_id"]
    array([7, 9], dtype=uint64)
    >>> import polars
    >>> polars.DataFrame(columns).rows()
    [(7, 'a'), (9, None)]
    """

    def __init__(
        self, columns: Mapping[str, NDArray[Any] | Sequence[str | None]], *, times: Collection[str] = ()
    ) -> None:
        self._columns: dict[str, NDArray[Any]] = {
            name: values if isinstance(values, np.ndarray) else np.array(values, object)
            for name, values in columns.items()
        }
        self._times = frozenset(times)
        if unknown := self._times - self._columns.keys():
            raise ValueError(f"times names {sorted(unknown)}, the columns are {list(self._columns)}")

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def keys(self) -> KeysView[str]:
        return self._columns.keys()

    def values(self) -> ValuesView[NDArray[Any]]:
        return self._columns.values()

    def items(self) -> ItemsView[str, NDArray[Any]]:
        return self._columns.items()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def __arrow_c_schema__(self) -> object:
        return export_schema(self._columns, self._times)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table as one batch, in the types of __arrow_c_schema__.

        Another schema may be requested, but nothing is cast: that is left to the consumer. Raises TypeError
        for a column of other objects, ValueError for columns of different lengths.
        """
        return export_stream(self._columns, self._times)

    def __repr__(self) -> str:
        return f"Columns({self.rows} rows: {', '.join(self._columns)})"
