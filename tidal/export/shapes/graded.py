"""Scores of all events of a request, with the prompts that their entities answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.export.shapes.context import Context
from tidal.export.shapes.scores import F64, Scored, Scores
from tidal.export.shapes.texts import NO_PROMPT, TextReader, numbered_prompts
from tidal.schema import EventBatch
from tidal.schema.events import U64


class Graded(NamedTuple):
    """One row for each entity that has its texts, or each user and entity; by rising user, then entity.

    ``user`` is 0 throughout where scores are of entities alone; ``prompt`` is a number, equal where prompts
    are equal, and rises with the least id of its entities.
    """

    user: U64
    entity: U64
    score: F64
    prompt: NDArray[np.int64]


def graded(context: Context, texts: TextReader, *, by_user: bool, completions: bool) -> Graded:
    """Return what the events give. Memory: by distinct entities, or users and entities; not by events."""
    account = context.account
    scores = _scored(context, by_user)
    entities, rows = np.unique(scores.entity, return_inverse=True)
    prompt = numbered_prompts(texts, entities, account, completions=completions)[rows]
    known = prompt != NO_PROMPT
    account.scores += len(known)
    account.without_text += int(np.count_nonzero(~known))
    return Graded(*(column[known] for column in (*scores, prompt)))


def _scored(context: Context, by_user: bool) -> Scored:
    scores = Scores(context.request.score)
    for selected in context.selection:
        batch = _with_user(selected.events) if by_user else selected.events
        context.account.events += len(selected.events)
        context.account.events_without_user += len(selected.events) - len(batch)
        column = batch.user_id if by_user else None
        users = np.zeros(len(batch), np.uint64) if column is None else column.values
        scores.add(users, batch.entity_id, context.rewards.of(batch), batch.timestamp)
    return scores.result()


def _with_user(batch: EventBatch) -> EventBatch:
    if batch.user_id is None:
        return batch.rows(0, 0)
    valid = batch.user_id.valid
    return batch if valid is None else batch.where(valid)
