"""The state of shards as plain arrays: what a checkpoint stores and a merge adds. See Shard.save for the
arrays.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal._ext.saved import RECORD_ARRAYS, RING_NAMES, check_columns
from tidal._ext.shards import shards_of

SavedShard = dict[str, NDArray[Any]]

ARRAYS: Final = (
    *RECORD_ARRAYS,
    *(f"{ring}_{part}" for ring in RING_NAMES for part in ("bucket", "end", "slot", "count")),
)


def reshard(saved: list[SavedShard], shard_count: int, clock: int) -> list[SavedShard]:
    """Return the state at a clock cut into another number of shards, entities in their order within each."""
    if len(saved) == shard_count:
        return saved
    parts: list[list[SavedShard]] = [[] for _ in range(shard_count)]
    for shard in saved:
        owners = shards_of(shard["entity_id"], shard_count)
        for ring in RING_NAMES:
            check_columns(shard, ring, len(owners), clock)
        for number in range(shard_count):
            parts[number].append(_select(shard, owners == number))
    return [_join(part) for part in parts]


def in_id_order(saved: SavedShard) -> SavedShard:
    """Return the state with its entities by ascending id: equal for equal logs, however they were applied.

    The rows of a shard stand in the order in which its entities got their records, which is not always that
    of their events: large batches are gathered by entity first.
    """
    order = np.argsort(saved["entity_id"])
    sorted_shard = {name: saved[name][order] for name in RECORD_ARRAYS}
    new_slots = np.empty(len(order), np.uint32)
    new_slots[order] = np.arange(len(order), dtype=np.uint32)
    for ring in RING_NAMES:
        ends = saved[f"{ring}_end"]
        slots = new_slots[saved[f"{ring}_slot"]]
        in_column = np.lexsort((slots, np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))))
        sorted_shard[f"{ring}_bucket"], sorted_shard[f"{ring}_end"] = saved[f"{ring}_bucket"], ends
        sorted_shard[f"{ring}_slot"] = slots[in_column]
        sorted_shard[f"{ring}_count"] = saved[f"{ring}_count"][in_column]
    return sorted_shard


def _select(saved: SavedShard, rows: NDArray[np.bool_]) -> SavedShard:
    part = {name: np.ascontiguousarray(saved[name][rows]) for name in RECORD_ARRAYS}
    new_slots = np.cumsum(rows, dtype=np.int64) - 1
    for ring in RING_NAMES:
        slots, ends = saved[f"{ring}_slot"], saved[f"{ring}_end"]
        kept = rows[slots]
        column = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))[kept]
        present, sizes = np.unique(column, return_counts=True)
        part[f"{ring}_bucket"] = saved[f"{ring}_bucket"][present]
        part[f"{ring}_end"] = np.cumsum(sizes, dtype=np.int64)
        part[f"{ring}_slot"] = new_slots[slots[kept]].astype(np.uint32)
        part[f"{ring}_count"] = np.ascontiguousarray(saved[f"{ring}_count"][kept])
    return part


def _join(parts: list[SavedShard]) -> SavedShard:
    """Concatenate shards of disjoint entities."""
    if len(parts) == 1:
        return parts[0]
    joined: SavedShard = {name: np.concatenate([part[name] for part in parts]) for name in RECORD_ARRAYS}
    offsets = np.cumsum([0, *(len(part["entity_id"]) for part in parts[:-1])])
    for ring in RING_NAMES:
        buckets = np.concatenate(
            [np.repeat(p[f"{ring}_bucket"], np.diff(p[f"{ring}_end"], prepend=0)) for p in parts]
        )
        slots = np.concatenate([p[f"{ring}_slot"] + offset for p, offset in zip(parts, offsets, strict=True)])
        counts = np.concatenate([p[f"{ring}_count"] for p in parts])
        order = np.lexsort((slots, buckets))
        present, sizes = np.unique(buckets, return_counts=True)
        joined[f"{ring}_bucket"] = present.astype(np.int64)
        joined[f"{ring}_end"] = np.cumsum(sizes, dtype=np.int64)
        joined[f"{ring}_slot"] = slots[order].astype(np.uint32)
        joined[f"{ring}_count"] = counts[order].astype(np.uint32)
    return joined
