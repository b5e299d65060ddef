"""What a job's rows are made from, and the rows, looked after while they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tidal.entities import EntityStore
from tidal.export import Codes, Field, SignalSource, Table
from tidal.schema import Schema
from tidal.sessions import Sessions

Batch = Mapping[str, Any]


class Database(Protocol):
    """What jobs ask of a database."""

    schema: Schema
    items: EntityStore
    users: EntityStore
    creators: EntityStore

    @property
    def durable_seq(self) -> int: ...

    @property
    def sessions(self) -> Sessions: ...

    def now(self) -> int: ...

    def records(self, signal: str) -> list[NDArray[np.void]]: ...

    def scores(
        self, signal: str, ids: Any, *, half_life: Any = None, at: Any = None
    ) -> NDArray[np.float64]: ...

    def counts(self, signal: str, ids: Any, window: str, *, at: Any = None) -> NDArray[np.uint64]: ...

    def velocities(self, signal: str, ids: Any, window: str, *, at: Any = None) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Where a dataset reads from. ``check`` is to be called between two batches: it raises to end the job."""

    db: Database
    signals: Callable[[], SignalSource]  # what is durable when it is called
    names: Callable[[str, Iterable[int]], list[str | None]]
    check: Callable[[], None]


class Source(NamedTuple):
    """The rows of a job; the share of them that was made, where that is known; whether the limit of the
    request cut some off, known once all were made.
    """

    table: Table
    share: Callable[[int], float | None]
    capped: Callable[[], bool]


def source_of(
    fields: tuple[Field, ...],
    batches: Iterable[Batch],
    context: Context,
    limit: int | None,
    expected: int | None = None,
) -> Source:
    """Return a job's rows from batches, as many as the limit says; ``expected`` rows, where nothing is cut
    off.
    """
    rows = _Watched(batches, context.check, limit)
    due = expected if expected is None or limit is None else min(expected, limit)

    def share(done: int) -> float | None:
        return None if due is None else min(done / max(due, 1), 1.0)

    return Source(Table(fields, rows), share, lambda: rows.capped)


class _Watched:
    """Batches up to a limit of rows, with a check before each."""

    def __init__(self, batches: Iterable[Batch], check: Callable[[], None], limit: int | None) -> None:
        self.capped = False
        self._batches, self._check, self._limit = batches, check, limit

    def __iter__(self) -> Iterator[Batch]:
        left = self._limit
        for batch in self._batches:
            self._check()
            count = _length(next(iter(batch.values())))
            if left is not None and count > left:
                self.capped = True
                yield {name: _first(column, left) for name, column in batch.items()}
                return
            yield batch
            left = None if left is None else left - count


def _length(column: Any) -> int:
    return len(column[0] if isinstance(column, tuple) else column)


def _first(column: Any, count: int) -> Any:
    if isinstance(column, Codes):
        return Codes(column.codes[:count], column.names)
    if isinstance(column, tuple):
        values, valid = column
        return values[:count], None if valid is None else valid[:count]
    return column[:count]
