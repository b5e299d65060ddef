"""Cutting a batch of any size into batches that one frame of the log holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tidal.format.payload import EVENTS_PER_BATCH_MAX, KEYS_BYTES_MAX
from tidal.schema.events import EventBatch, NewKey

_KEY_OVERHEAD = 16  # bytes beside its text that a new key may take in a frame


def log_parts(batch: EventBatch) -> Iterator[EventBatch]:
    """Yield the events in order, in batches of EVENTS_PER_BATCH_MAX at most.

    Each carries the new keys that it is the first to use: after a crash between two parts, no event is
    there without the name of its entity.
    """
    if len(batch) <= EVENTS_PER_BATCH_MAX and not batch.new_keys:
        if len(batch):
            yield batch
        return
    pending = {(key.kind, key.id): key for key in batch.new_keys}
    for start in range(0, len(batch), EVENTS_PER_BATCH_MAX):
        part = batch.rows(start, start + EVENTS_PER_BATCH_MAX)
        yield from _within_limit(part, pending)


def _within_limit(part: EventBatch, pending: dict[tuple[str, int], NewKey]) -> Iterator[EventBatch]:
    keys = _used(part, pending)
    if len(part) > 1 and sum(len(key.key.encode()) + _KEY_OVERHEAD for key in keys) > KEYS_BYTES_MAX:
        middle = len(part) // 2
        yield from _within_limit(part.rows(0, middle), pending)
        yield from _within_limit(part.rows(middle, len(part)), pending)
        return
    for key in keys:
        del pending[key.kind, key.id]
    yield replace(part, new_keys=tuple(keys))


def _used(part: EventBatch, pending: dict[tuple[str, int], NewKey]) -> list[NewKey]:
    if not pending:
        return []
    columns = [part.entity_id] + ([] if part.user_id is None else [part.user_id.values])
    ids = set(np.unique(np.concatenate(columns)).tolist())
    return [key for key in pending.values() if key.id in ids]
