"""Batches of a segment joined into the blocks of an archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidal.format.payload import EVENTS_PER_BATCH_MAX, KEY, NOTE, note_bytes
from tidal.parts import join_batches
from tidal.schema.events import EventBatch, NewKey

# Of new keys and notes: bounds what a reader holds at once, as they are objects and not columns.
TEXT_BYTES_PER_BLOCK: Final = 1 << 20


def join_blocks(batches: Iterable[EventBatch]) -> Iterator[EventBatch]:
    """Yield the events in order, in batches of 65,536 where new keys and notes let them, and a last one.

    Each new key is in the batch of the first event that uses it; one that no event uses is as early as it
    can be.
    """
    pending: list[EventBatch] = []
    events = notes = 0
    for batch in batches:
        pending.append(batch)
        events += len(batch)
        notes += note_bytes(batch.notes)
        if events >= EVENTS_PER_BATCH_MAX or notes > TEXT_BYTES_PER_BLOCK:
            blocks = list(_cut(join_batches(pending)))
            pending = [] if len(blocks[-1]) == EVENTS_PER_BATCH_MAX else [blocks.pop()]
            events = sum(map(len, pending))
            notes = sum(note_bytes(left.notes) for left in pending)
            yield from blocks
    if pending:
        yield from _cut(join_batches(pending))


def _cut(batch: EventBatch) -> Iterator[EventBatch]:
    keys, rows = _by_first_use(batch)
    text_rows, taken = _texts(batch, keys, rows)
    start = used = 0
    while start < len(batch):
        stop = min(start + EVENTS_PER_BATCH_MAX, len(batch))
        before = int(taken[start_text - 1]) if (start_text := int(np.searchsorted(text_rows, start))) else 0
        fitting = int(np.searchsorted(taken, before + TEXT_BYTES_PER_BLOCK, side="right"))
        if fitting < len(taken) and text_rows[fitting] < stop:
            stop = max(start + 1, int(text_rows[fitting]))
        using = int(np.searchsorted(rows, stop))
        yield replace(batch.rows(start, stop), new_keys=tuple(keys[used:using]))
        start, used = stop, using


def _texts(
    batch: EventBatch, keys: list[NewKey], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of new keys and notes, ascending, and the bytes that those up to each one take."""
    sizes = [KEY.size + len(key.key.encode()) for key in keys]  # that of an entry bounds their number, too
    if batch.notes:
        rows = np.concatenate([rows, batch.note_rows()])
        sizes += [NOTE.size + len(note) for note in batch.notes]
    order = np.argsort(rows, kind="stable")
    return rows[order], np.cumsum(np.array(sizes, np.int64)[order])


def _by_first_use(batch: EventBatch) -> tuple[list[NewKey], NDArray[np.int64]]:
    """Return the new keys in the order in which events use them, and the rows of those events."""
    if not batch.new_keys:
        return [], np.zeros(0, np.int64)
    ids = np.array([key.id for key in batch.new_keys], np.uint64)
    rows = np.full(len(ids), len(batch), np.int64)
    for column in [batch.entity_id] + ([] if batch.user_id is None else [batch.user_id.values]):
        values, first = np.unique(column, return_index=True)
        place = np.minimum(np.searchsorted(values, ids), len(values) - 1)
        rows = np.where(values[place] == ids, np.minimum(rows, first[place]), rows)
    rows[rows == len(batch)] = 0  # of a key that no event uses
    order = np.argsort(rows, kind="stable")
    return [batch.new_keys[position] for position in order.tolist()], rows[order]
