"""Checked events dealt out to shards, each with the names that its shard lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tidal.entities import KeyNames, entity_key_ids
from tidal.schema import EventBatch, Schema
from tidal.schema.events import U64, NewKey
from tidal.sharding.router import ShardRouter


class Dealer:
    """Deals out the batches of one ingest call. ``names``: those of each shard."""

    def __init__(self, schema: Schema, router: ShardRouter, names: Sequence[KeyNames]) -> None:
        self._router, self._names = router, names
        self._types = {
            kind: np.array([signal.type_id for signal in schema if signal.kind == kind], np.uint8)
            for kind in {signal.kind for signal in schema}
        }
        self._keys: dict[str, dict[int, str]] = {}
        self._known: dict[str, U64] = {}  # the ids of those keys, ascending; made when they are looked for

    def resolve(self, kind: str | None, keys: Sequence[str], /) -> tuple[U64, tuple[NewKey, ...]]:
        """Return the ids of keys, and remember the keys; a ResolveKeys to which no name is new."""
        ids = entity_key_ids(keys)
        if kind is not None and len(keys):
            self._keys.setdefault(kind, {}).update(zip(ids.tolist(), keys, strict=True))
            self._known.pop(kind, None)
        return ids, ()

    def deal(self, batch: EventBatch) -> Iterator[tuple[int, EventBatch]]:
        """Yield (shard, its events) in order of the shards. KeyCollision: another key has the id of one."""
        shards = self._router.shards_of(batch.entity_id)
        for shard in np.unique(shards).tolist():
            part = batch.where(shards == shard)
            yield shard, replace(part, new_keys=tuple(self._new_keys(shard, part)))

    def _new_keys(self, shard: int, part: EventBatch) -> Iterator[NewKey]:
        for kind, keys in self._keys.items():
            known, ids = self._known_of(kind), np.unique(self._ids_of(kind, part))
            places = np.searchsorted(known[:-1], ids)  # of the last one, where all are smaller
            used = ids[known[places] == ids].tolist()
            yield from self._names[shard].ids(kind, [keys[id] for id in used])[1]

    def _known_of(self, kind: str) -> U64:
        if kind not in self._known:
            keys = self._keys[kind]
            self._known[kind] = np.sort(np.fromiter(keys, np.uint64, len(keys)))
        return self._known[kind]

    def _ids_of(self, kind: str, part: EventBatch) -> U64:
        ids = part.entity_id[np.isin(part.type_id, self._types.get(kind, np.zeros(0, np.uint8)))]
        if kind == "user" and part.user_id is not None:
            ids = np.concatenate([ids, part.user_id.values])
        return ids
