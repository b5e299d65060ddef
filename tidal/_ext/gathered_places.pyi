import numpy as np
from numpy.typing import NDArray

from tidal._ext.gathering import Gathering
from tidal._ext.shards import ShardSet

class HomedWords:
    def __init__(self, words: NDArray[np.uint64], shards: int) -> None: ...

class GatheredPlaces(Gathering):
    def __init__(self, shards: ShardSet) -> None: ...
    def add(
        self,
        places: NDArray[np.uint32],
        words: HomedWords,
        weights: NDArray[np.float32],
        times: NDArray[np.int64],
    ) -> None: ...
