"""What every reader gives: chunks of rows that can be asked for a column or for one whole row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS: Final = 1 << 16  # as many as the log takes in one batch

Record = TypeVar("Record")


class BrokenRow(NamedTuple):
    """Something between two rows that is not a row."""

    reason: str
    text: str
    row: int = 0  # its number, once it has one


class Chunk(Protocol):
    """Some consecutive rows of a file."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows' numbers in the file; the first row after a header is 1."""

    @property
    def broken(self) -> Sequence[BrokenRow]:
        """What stood between these rows and could not be read; counted in the numbering."""

    def column(self, name: str) -> Sequence[Any] | NDArray[Any]:
        """The column's values; missing ones are None or empty text."""

    def record(self, index: int) -> dict[str, Any]:
        """One row as it was read, for the side file."""

    def __len__(self) -> int: ...


class Reader(Protocol):
    """A file of rows. ``chunks`` may be called again and starts from the top."""

    typed: bool  # whether values come with a type; if not, "17" may be a number or a name

    def names(self) -> tuple[str, ...] | None:
        """The columns' names, or None where each row brings its own."""

    def chunks(self) -> Iterator[Chunk]:
        """The rows in order. Raises UnreadableInput where the file is damaged."""

    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""


def chunked(
    records: Iterable[Record | BrokenRow],
) -> Iterator[tuple[NDArray[np.int64], list[Record], list[BrokenRow]]]:
    """Number the rows from 1; yield chunks: the good rows' numbers, the good rows, the broken ones."""
    numbers: list[int] = []
    good: list[Record] = []
    broken: list[BrokenRow] = []
    for row, record in enumerate(records, start=1):
        if isinstance(record, BrokenRow):
            broken.append(record._replace(row=row))
        else:
            numbers.append(row)
            good.append(record)
        if row % CHUNK_ROWS == 0:
            yield np.array(numbers, np.int64), good, broken
            numbers, good, broken = [], [], []
    if good or broken:
        yield np.array(numbers, np.int64), good, broken
