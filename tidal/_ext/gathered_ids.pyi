import numpy as np
from numpy.typing import NDArray

from tidal._ext.gathering import Gathering
from tidal._ext.shards import ShardSet

class GatheredIds(Gathering):
    def __init__(self, shards: ShardSet, entities_min: int) -> None: ...
    def add(
        self, entity_ids: NDArray[np.uint64], weights: NDArray[np.float32], times: NDArray[np.int64]
    ) -> None: ...
