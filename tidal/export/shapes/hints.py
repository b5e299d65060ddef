"""The shape "preference" from what sessions were told: one row for each hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tidal.export.shapes.context import ROWS, Columns, Context, Shaped
from tidal.export.shapes.preference import pair_fields
from tidal.export.shapes.texts import Text, TextReader
from tidal.schema import EventBatch
from tidal.sessions.operations import Hint, operations_of


class _Told(NamedTuple):
    """A hint whose texts are known, and the row that it is of."""

    row: int
    hint: Hint
    prompt: Text


def hinted(context: Context) -> Shaped:
    """Return the pairs of ``preference``, with user and session, in the order of the log.

    The chosen one has the hint's strength as its score, the rejected one 0. The prompt is the hint's, or else
    that of the chosen entity.
    """
    extra = [context.id_field("user_id", nullable=True), context.id_field("session_id", nullable=True)]
    return pair_fields(context) + extra, _rows(context)


def _rows(context: Context) -> Iterator[Columns]:
    texts = TextReader(context.request, context.metadata)
    for selected in context.selection:
        for start in range(0, len(selected.events), ROWS):
            events = selected.events.rows(start, start + ROWS)
            context.account.events += len(events)
            told = list(_told(context, events, texts))
            if told:
                yield _columns(context, events, told, texts)


def _told(context: Context, events: EventBatch, texts: TextReader) -> Iterator[_Told]:
    account = context.account
    for row, hint in operations_of(events):
        if not isinstance(hint, Hint):
            continue
        account.hints += 1
        prompt = texts.as_prompt(hint.prompt)
        if hint.kind != context.kind:
            account.hints_of_other_kinds += 1
        elif not 0 < hint.strength >= context.request.margin:
            account.neutral += 1
        elif _has_texts(context, texts, hint, prompt is None):
            yield _Told(row, hint, texts.prompt(hint.chosen) if prompt is None else prompt)


def _has_texts(context: Context, texts: TextReader, hint: Hint, prompt: bool) -> bool:
    for entity, needs_prompt in ((hint.chosen, prompt), (hint.rejected, False)):
        if (what := texts.lacking(entity, prompt=needs_prompt)) is not None:
            context.account.lacks(entity, what)
            context.account.without_text += 1
            return False
    return True


def _columns(context: Context, events: EventBatch, told: list[_Told], texts: TextReader) -> Columns:
    chosen = np.array([each.hint.chosen for each in told], np.uint64)
    rejected = np.array([each.hint.rejected for each in told], np.uint64)
    rows = np.zeros(len(events), np.bool_)
    rows[[each.row for each in told]] = True
    of_rows = events.where(rows)
    return {
        "prompt": [each.prompt for each in told],
        "chosen": [texts.completion(each.hint.chosen) for each in told],
        "rejected": [texts.completion(each.hint.rejected) for each in told],
        "score_chosen": np.array([each.hint.strength for each in told]),
        "score_rejected": np.zeros(len(told)),
        "chosen_id": context.ids(context.kind, chosen),
        "rejected_id": context.ids(context.kind, rejected),
        "user_id": context.known_ids("user", of_rows.user_id, len(told)),
        "session_id": context.known_ids(None, of_rows.session_id, len(told)),
    }
