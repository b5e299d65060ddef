from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

SORTED_RUN_MIN: Final[int]

def in_hash_order(words: U64) -> U64 | None: ...
