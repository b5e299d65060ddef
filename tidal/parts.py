"""Cutting a batch of any size into batches that one frame of the log holds, and joining batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from tidal.format.payload import (
    EVENTS_PER_BATCH_MAX,
    KEYS_BYTES_MAX,
    KEYS_PER_EVENT_MAX,
    NOTES_BYTES_MAX,
    note_bytes,
)
from tidal.schema.events import CodedIds, EventBatch, IdColumn, Ids, NewKey

_KEY_OVERHEAD = 16  # bytes beside its text that a new key may take in a frame


def log_parts(batch: EventBatch) -> Iterator[EventBatch]:
    """Yield the events in order, in batches of EVENTS_PER_BATCH_MAX at most.

    Each carries the new keys that it is the first to use: after a crash between two parts, no event is
    there without the name of its entity.
    """
    names = NewNames(batch.new_keys)
    for piece in pieces(batch):
        yield from names.frames(piece)


def pieces(batch: EventBatch) -> Iterator[EventBatch]:
    """Yield the events in order, EVENTS_PER_BATCH_MAX at a time; none where there are none."""
    if 0 < len(batch) <= EVENTS_PER_BATCH_MAX:
        yield batch
        return
    for start in range(0, len(batch), EVENTS_PER_BATCH_MAX):
        yield batch.rows(start, start + EVENTS_PER_BATCH_MAX)


class NewNames:
    """The new keys of one batch, dealt out to the frames that are the first to use them."""

    def __init__(self, new_keys: Sequence[NewKey]) -> None:
        self._pending = {(key.kind, key.id): key for key in new_keys}

    def frames(self, piece: EventBatch) -> Iterator[EventBatch]:
        """Yield the events of a piece, or of some of its rows, as batches that one frame holds."""
        if (self._pending or piece.notes) and len(piece):
            yield from _within_limit(piece, self._pending)
        elif len(piece):
            yield replace(piece, new_keys=()) if piece.new_keys else piece


def join_batches(batches: Sequence[EventBatch]) -> EventBatch:
    """Return the events of one or more batches as one batch, in order; a single one as it is."""
    if len(batches) == 1:
        return batches[0]
    counts = [len(batch) for batch in batches]
    return EventBatch(
        _join_entities(batches),
        np.concatenate([batch.type_id for batch in batches]),
        np.concatenate([batch.weight for batch in batches]),
        np.concatenate([batch.timestamp for batch in batches]),
        _join_ids([batch.user_id for batch in batches], counts),
        _join_ids([batch.session_id for batch in batches], counts),
        _join_ids([batch.event_id for batch in batches], counts),
        tuple(key for batch in batches for key in batch.new_keys),
        tuple(note for batch in batches for note in batch.notes),
    )


def _join_entities(batches: Sequence[EventBatch]) -> Ids:
    first = batches[0].entities
    if not isinstance(first, CodedIds):
        return np.concatenate([batch.entity_id for batch in batches])
    places = []
    for batch in batches:
        if not isinstance(batch.entities, CodedIds) or batch.entities.words is not first.words:
            return np.concatenate([batch.entity_id for batch in batches])
        places.append(batch.entities.places)
    return CodedIds(np.concatenate(places), first.words)


def _join_ids(columns: list[IdColumn | None], counts: list[int]) -> IdColumn | None:
    if all(column is None for column in columns):
        return None
    values, valid = [], []
    for column, count in zip(columns, counts, strict=True):
        known = np.zeros(count, np.bool_) if column is None else column.valid
        values.append(np.zeros(count, np.uint64) if column is None else column.values)
        valid.append(np.ones(count, np.bool_) if known is None else known)
    joined = np.concatenate(valid)
    return IdColumn(np.concatenate(values), None if joined.all() else joined)


def _within_limit(part: EventBatch, pending: dict[tuple[str, int], NewKey]) -> Iterator[EventBatch]:
    keys = _used(part, pending)
    key_bytes = sum(len(key.key.encode()) + _KEY_OVERHEAD for key in keys)
    if len(part) > 1 and (key_bytes > KEYS_BYTES_MAX or note_bytes(part.notes) > NOTES_BYTES_MAX):
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
    used = [key for key in pending.values() if key.id in ids]
    if part.notes:  # a note may name entities, too: which ones is not known here
        others = (key for key in pending.values() if key.id not in ids)
        used += islice(others, max(0, len(part) * KEYS_PER_EVENT_MAX - len(used)))
    return used
