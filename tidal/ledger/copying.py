"""A copy of all state of a ledger, for which it must stand still only as long as memory takes to copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tidal._ext.shard import ShardCopy
from tidal.ledger.saved import ARRAYS, SavedShard
from tidal.ledger.table import Table


class LedgerCopy:
    """Three steps: making it reserves the room, take() copies, saved() gives the copy the form of a file.

    Only during take() no event may be applied. It is made to be taken once.
    """

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._shards = {name: [ShardCopy(shard) for shard in table.shards] for name, table in tables.items()}
        self._clocks: dict[str, int] = {}
        for shards in self._shards.values():
            for shard in shards:  # to make that room may have taken long
                shard.fit()

    @property
    def room(self) -> int:
        """Bytes of memory that were reserved."""
        return sum(shard.room for shards in self._shards.values() for shard in shards)

    def take(self) -> None:
        """Copy the state as it is now."""
        for name, table in self._tables.items():
            if (clock := table.clock) is not None:
                self._clocks[name] = clock
                for shard in self._shards[name]:
                    shard.take(clock)

    def saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return what SignalLedger.load() takes, a JSON value and named arrays."""
        shards = {name: [it.arrays() for it in self._shards[name]] for name in self._clocks}
        return named(self._clocks, shards)


def named(
    clocks: Mapping[str, int], shards: Mapping[str, list[SavedShard]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the state of all tables that have events as one JSON value, and arrays by one name each."""
    arrays = {
        f"{name}/{number}/{array}": shard[array]
        for name, saved in shards.items()
        for number, shard in enumerate(saved)
        for array in ARRAYS
    }
    return {"clocks": dict(clocks), "shards": {name: len(saved) for name, saved in shards.items()}}, arrays
