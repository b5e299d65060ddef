"""Rewards of events -> one score for each entity, or for each user and entity."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.schema.events import U64

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SCORES: Final = ("sum", "mean", "last")
_FOLD_ROWS: Final = 1 << 18  # events kept before they are folded, at least: folding sorts


class Scored(NamedTuple):
    """One row for each user and entity that has a reward, by rising user, then entity.

    ``user`` is 0 throughout where scores are of entities alone.
    """

    user: U64
    entity: U64
    score: F64


class _Rows(NamedTuple):
    """Events, or what several events of one user and entity became, in the order of the log."""

    user: U64
    entity: U64
    total: F64
    events: I64
    time: I64  # of the newest
    last: F64  # its reward

    @classmethod
    def joined(cls, parts: list[_Rows]) -> _Rows:
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Scores:
    """Collects rewards. Memory: a row of 48 bytes for each (user, entity), however many events there are,
    half as many rows again of events to be folded in, and what sorting them takes.

    The result does not depend on how the events are cut into calls: sums are added in the order of the log,
    and of two rewards of the same time the later one in the log is the last.
    """

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._parts: list[_Rows] = []
        self._rows = 0
        self._distinct = 0

    def add(self, user: U64, entity: U64, reward: F64, time: I64) -> None:
        """Take in events, in the order of the log: columns of one length."""
        if not len(entity):
            return
        self._parts.append(_Rows(user, entity, reward, np.ones(len(entity), np.int64), time, reward))
        self._rows += len(entity)
        if self._rows > self._distinct + max(_FOLD_ROWS, self._distinct // 2):
            self._fold()

    def _fold(self) -> None:
        if self._parts:
            folded = _fold(_Rows.joined(self._parts))
            self._parts = [folded]
            self._rows = self._distinct = len(folded.entity)

    def result(self) -> Scored:
        """Return the scores of all that was added."""
        self._fold()
        if not self._parts:
            return Scored(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0))
        rows = self._parts[0]
        score = {"sum": rows.total, "mean": rows.total / rows.events, "last": rows.last}[self._rule]
        return Scored(rows.user, rows.entity, score)


def _fold(rows: _Rows) -> _Rows:
    """Return one row for each user and entity, sorted by these."""
    order = np.lexsort((rows.time, rows.entity, rows.user))  # stable: equal times stay in the log's order
    user, entity = rows.user[order], rows.entity[order]
    first = run_starts(user, entity)
    lengths = np.diff(first, append=len(order))
    newest = order[first + lengths - 1]
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(first)), lengths)
    total, events = np.zeros(len(first)), np.zeros(len(first), np.int64)
    np.add.at(total, group, rows.total)  # one by one, in the order of the log
    np.add.at(events, group, rows.events)
    return _Rows(user[first], entity[first], total, events, rows.time[newest], rows.last[newest])


def run_starts(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.intp]:
    """Return where runs of rows begin that are equal in both columns."""
    starts = np.ones(len(first), np.bool_)
    starts[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return np.flatnonzero(starts)
