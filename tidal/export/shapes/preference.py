"""The shape "preference": a chosen and a rejected completion of one prompt."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tidal.export.columns import Field
from tidal.export.shapes.context import ROWS, Columns, Context, Shaped
from tidal.export.shapes.graded import Graded, graded
from tidal.export.shapes.pairs import Indices, best_first, pair_rounds, worst_first
from tidal.export.shapes.scores import run_starts
from tidal.export.shapes.texts import TextReader


class _Pairs(NamedTuple):
    """Pairs as rows of what was graded."""

    chosen: Indices
    rejected: Indices


def preference(context: Context) -> Shaped:
    """Return prompt, chosen and rejected completion with the scores and ids of both; by rising user, then by
    prompts in the order of their least ids, then as ``pair_rounds`` has it.
    """
    fields = pair_fields(context)
    if context.by_user:
        fields.append(context.id_field("user_id"))
    return fields, _rows(context)


def pair_fields(context: Context) -> list[Field]:
    """Return the columns that all pairs have."""
    return [
        context.text_field("prompt"),
        context.text_field("chosen"),
        context.text_field("rejected"),
        Field("score_chosen", "float64"),
        Field("score_rejected", "float64"),
        context.id_field("chosen_id"),
        context.id_field("rejected_id"),
    ]


def _rows(context: Context) -> Iterator[Columns]:
    texts = TextReader(context.request, context.metadata)
    rows = graded(context, texts, by_user=context.by_user, completions=True)
    for pairs in _chunks(_paired(context, rows)):
        chosen, rejected = rows.entity[pairs.chosen], rows.entity[pairs.rejected]
        columns = {
            "prompt": [texts.prompt(id) for id in chosen.tolist()],
            "chosen": [texts.completion(id) for id in chosen.tolist()],
            "rejected": [texts.completion(id) for id in rejected.tolist()],
            "score_chosen": rows.score[pairs.chosen],
            "score_rejected": rows.score[pairs.rejected],
            "chosen_id": context.ids(context.kind, chosen),
            "rejected_id": context.ids(context.kind, rejected),
        }
        if context.by_user:
            columns["user_id"] = context.ids("user", rows.user[pairs.chosen])
        yield columns


def _paired(context: Context, rows: Graded) -> Iterator[_Pairs]:
    request, account = context.request, context.account
    better = worse = np.ones(len(rows.score), np.bool_)
    if context.by_user:
        better, worse = context.opinions(rows.score)
        account.neutral += int(np.count_nonzero(~(better | worse)))
    for group in _groups(rows):
        good, bad = group[better[group]], group[worse[group]]
        good = good[best_first(rows.entity[good], rows.score[good])]
        bad = bad[worst_first(rows.entity[bad], rows.score[bad])]
        found = False
        for chosen, rejected in pair_rounds(
            rows.score[good], rows.score[bad], margin=request.margin, most=request.pairs_per_prompt
        ):
            found = True
            yield _Pairs(good[chosen], bad[rejected])
        account.groups += 1
        account.groups_without_pair += not found


def _groups(rows: Graded) -> Iterator[Indices]:
    """Yield the rows of each prompt, of each user and prompt where scores are of users."""
    order = np.lexsort((rows.prompt, rows.user))  # stable: ids rise in each
    starts = run_starts(rows.user[order], rows.prompt[order]).tolist()
    for start, end in itertools.pairwise([*starts, len(order)]):
        yield order[start:end]


def _chunks(found: Iterable[_Pairs]) -> Iterator[_Pairs]:
    """Join small runs of pairs, and cut large ones."""
    pending: list[_Pairs] = []
    count = 0
    for pairs in found:
        pending.append(pairs)
        count += len(pairs.chosen)
        if count >= ROWS:
            yield from _cut(pending)
            pending, count = [], 0
    yield from _cut(pending)


def _cut(pending: list[_Pairs]) -> Iterator[_Pairs]:
    if pending:
        chosen, rejected = (np.concatenate(side) for side in zip(*pending, strict=True))
        for start in range(0, len(chosen), ROWS):
            yield _Pairs(chosen[start : start + ROWS], rejected[start : start + ROWS])
