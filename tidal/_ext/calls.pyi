from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tidal._ext.shards import ShardSet

class Counter:
    def __init__(self, last: int = 0) -> None: ...
    @property
    def last(self) -> int: ...
    def take(self, count: int) -> tuple[int, int]: ...

class ReadCalls:
    def __init__(
        self,
        tables: dict[str, ShardSet],
        windows: dict[str, dict[str, int]],
        general_score: Callable[..., float],
        general_scores: Callable[..., NDArray[np.float64]],
        general_count: Callable[..., int],
    ) -> None: ...
    def stop(self) -> None: ...
    score: Callable[..., float]
    scores: Callable[..., NDArray[np.float64]]
    count: Callable[..., int]

class WriteCalls:
    def __init__(
        self,
        tables: dict[str, ShardSet],
        signed: frozenset[str],
        log: Counter,
        general: Callable[..., int],
    ) -> None: ...
    def stop(self) -> None: ...
    signal: Callable[..., int]
