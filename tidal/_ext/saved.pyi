from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORD_BYTES: int
RECORD_DTYPE: np.dtype[np.void]
RECORD_ARRAYS: tuple[str, ...]
RING_NAMES: tuple[str, ...]

def widened(saved: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...
def check_columns(saved: dict[str, NDArray[Any]], ring: str, row_count: int, clock: int) -> None: ...
