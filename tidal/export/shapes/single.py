"""The shapes with one entity a row: "kto" and "prompt_only"."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidal.export.columns import Field
from tidal.export.shapes.context import ROWS, Columns, Context, Shaped
from tidal.export.shapes.graded import graded
from tidal.export.shapes.texts import TextReader


def kto(context: Context) -> Shaped:
    """Return prompt, completion and whether it was liked, of each entity, or each user and entity, that was
    liked or disliked; by rising user, then entity.
    """
    fields = [
        context.text_field("prompt"),
        context.text_field("completion"),
        Field("label", "bool"),
        Field("score", "float64"),
        context.id_field("entity_id"),
    ]
    if context.by_user:
        fields.append(context.id_field("user_id"))
    return fields, _labelled(context)


def _labelled(context: Context) -> Iterator[Columns]:
    texts = TextReader(context.request, context.metadata)
    rows = graded(context, texts, by_user=context.by_user, completions=True)
    liked, disliked = context.opinions(rows.score)
    context.account.neutral += int(np.count_nonzero(~(liked | disliked)))
    decided = np.flatnonzero(liked | disliked)
    for start in range(0, len(decided), ROWS):
        chosen = decided[start : start + ROWS]
        entities = rows.entity[chosen]
        columns = {
            "prompt": [texts.prompt(id) for id in entities.tolist()],
            "completion": [texts.completion(id) for id in entities.tolist()],
            "label": liked[chosen],
            "score": rows.score[chosen],
            "entity_id": context.ids(context.kind, entities),
        }
        if context.by_user:
            columns["user_id"] = context.ids("user", rows.user[chosen])
        yield columns


def prompt_only(context: Context) -> Shaped:
    """Return each distinct prompt of the entities that have an event; in the order of their least ids."""
    return [context.text_field("prompt")], _prompts(context)


def _prompts(context: Context) -> Iterator[Columns]:
    texts = TextReader(context.request, context.metadata)
    rows = graded(context, texts, by_user=False, completions=False)
    _, first = np.unique(rows.prompt, return_index=True)
    for start in range(0, len(first), ROWS):
        entities = rows.entity[first[start : start + ROWS]].tolist()
        yield {"prompt": [texts.prompt(id) for id in entities]}
