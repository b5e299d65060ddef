"""Read Arrow tables and columns of any producer, without an Arrow library."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

class Chunk:
    """Some consecutive rows. What ``column`` returns keeps the producer's memory alive by itself."""

    def __len__(self) -> int: ...
    def column(
        self, index: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None, list[str | bytes] | None]: ...

class Stream(Iterator[Chunk]):
    """The chunks of a table or a column; released at its end, by ``close()`` and on every error."""

    names: tuple[str, ...]  # of the columns; one empty name for a column alone
    is_table: bool
    def __init__(self, source: object) -> None: ...
    def __next__(self) -> Chunk: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
