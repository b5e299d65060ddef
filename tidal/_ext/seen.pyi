import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Flags = NDArray[np.uint8]
OptionalColumn = tuple[U64 | None, Flags | None]

class Generation:
    newest: int
    def __init__(self, events_max: int, seed: bytes) -> None: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def __contains__(self, key: tuple[int, int]) -> bool: ...
    def ensure(self, more: int) -> None: ...
    def add(self, keys: U64, keyed: Flags | None, times: NDArray[np.int64]) -> None: ...
    def admit(
        self,
        previous: Generation | None,
        keys: U64,
        keyed: Flags | None,
        times: NDArray[np.int64],
        codes: Flags,
        room: int,
        clock: int,
        horizon: int,
    ) -> tuple[int, int]: ...
    def take_back(self, keys: U64, codes: Flags, start: int, stop: int, newest: int) -> None: ...

def siphash128(key: bytes, message: bytes) -> int: ...
def content_keys(
    key: bytes,
    types: NDArray[np.uint8],
    entities: U64,
    weights: NDArray[np.uint32],
    times: NDArray[np.int64],
    users: OptionalColumn,
    sessions: OptionalColumn,
    event_ids: OptionalColumn,
) -> U64: ...
