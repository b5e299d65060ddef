"""The shape "flat": one row for each event."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Final

from tidal.export.columns import Codes, Field
from tidal.export.shapes.context import ROWS, Columns, Context, Shaped
from tidal.export.shapes.texts import ENTITIES_KEPT
from tidal.schema import EventBatch

NO_METADATA: Final = "{}"
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def flat(context: Context) -> Shaped:
    """Return entity, signal, time, reward, user and session of each event in the order of the log, and its
    entity's metadata as one JSON text.
    """
    fields = [
        context.id_field("entity_id"),
        Field("signal", "string"),
        Field("timestamp_ns", "int64"),
        Field("reward", "float64"),
        context.id_field("user_id", nullable=True),
        context.id_field("session_id", nullable=True),
        Field("context", "string"),
    ]
    return fields, _rows(context)


def _rows(context: Context) -> Iterator[Columns]:
    @functools.lru_cache(ENTITIES_KEPT)
    def metadata_of(entity: int) -> str | None:
        metadata = context.metadata(entity)
        return None if metadata is None else _JSON.encode(metadata)

    for selected in context.selection:
        for start in range(0, len(selected.events), ROWS):
            yield _columns(context, selected.events.rows(start, start + ROWS), metadata_of)


def _columns(context: Context, events: EventBatch, metadata_of: Callable[[int], str | None]) -> Columns:
    metadata = [metadata_of(entity) for entity in events.entity_id.tolist()]
    context.account.events += len(events)
    context.account.events_without_metadata += metadata.count(None)
    return {
        "entity_id": context.ids(context.kind, events.entity_id),
        "signal": Codes(*context.selection.names_of(events.type_id)),
        "timestamp_ns": events.timestamp,
        "reward": context.rewards.of(events),
        "user_id": context.known_ids("user", events.user_id, len(events)),
        "session_id": context.known_ids(None, events.session_id, len(events)),
        "context": [NO_METADATA if text is None else text for text in metadata],
    }
