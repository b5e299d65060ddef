"""The dataset of entities: ids, kinds, string keys and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np

from tidal.export import Codes, Field
from tidal.jobs.request import JobRequest
from tidal.jobs.source import Batch, Context, Source, source_of

ROWS: Final = 4_096  # of a batch: metadata may be long

FIELDS: Final = (
    Field("entity_id", "uint64"),
    Field("kind", "string"),
    Field("entity_key", "string", nullable=True),
    Field("metadata", "json", nullable=True),
)


def entities(context: Context, request: JobRequest) -> Source:
    """A row for each entity that has a string key or metadata, kind by kind, by rising id.

    Each batch is of one moment: what is stored meanwhile is in the batches to come.
    """
    return source_of(FIELDS, _batches(context, request), context, request.limit)


def _batches(context: Context, request: JobRequest) -> Iterator[Batch]:
    db = context.db
    one = request.entity_id
    for kind, store in (("item", db.items), ("user", db.users), ("creator", db.creators)):
        entries = store.entries() if one is None else store.entries(int(one), int(one))
        while rows := list(islice(entries, ROWS)):
            ids, keys, texts = zip(*rows, strict=True)
            yield {
                "entity_id": np.array(ids, np.uint64),
                "kind": Codes(np.zeros(len(rows), np.uint8), (kind,)),
                "entity_key": list(keys),
                "metadata": list(texts),
            }
