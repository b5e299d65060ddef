"""The datasets of the live state: decayed scores, window counts and velocities, at one time.

The ids come from the tables themselves, some thousand at a time, and all is read as of one time, ``at``.
Events that come meanwhile are in some rows and not in others, as in every read of many entities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.export import Codes, Field
from tidal.jobs.request import JobRequest
from tidal.jobs.source import Batch, Context, Source, source_of
from tidal.schema import SignalType
from tidal.schema.durations import format_duration
from tidal.schema.spec import ALL

ROWS: Final = 65_536  # of a batch, at most

_HEAD: Final = (Field("entity_id", "uint64"), Field("kind", "string"), Field("signal_type", "string"))
_KEY: Final = (Field("entity_key", "string", nullable=True),)
_SCORE: Final = (Field("half_life", "string"), Field("score", "float64"))
_WINDOW: Final = (
    Field("window", "string"), Field("count", "uint64"), Field("velocity", "float64", nullable=True),
)  # fmt: skip
_TAIL: Final = (Field("last_time_ns", "timestamp"), Field("at_ns", "timestamp"))


class _Entities(NamedTuple):
    """Some entities of a signal type, and the time of the newest event of each."""

    signal: SignalType
    ids: NDArray[np.uint64]
    last_times: NDArray[np.int64]


Read = Callable[[_Entities], Iterator[Batch]]


def scores(context: Context, request: JobRequest) -> Source:
    """A row for each entity, signal type and half-life."""

    def read(entities: _Entities) -> Iterator[Batch]:
        name, ids = entities.signal.name, entities.ids
        for position, half_life in enumerate(entities.signal.half_lives):
            yield {
                "half_life": _same(format_duration(half_life), len(ids)),
                "score": context.db.scores(name, ids, half_life=position, at=request.at),
            }

    return _source(context, request, _SCORE, read, lambda signal: len(signal.half_lives))


def windows(context: Context, request: JobRequest) -> Source:
    """A row for each entity, signal type and window; the window "all" is all time, and has no velocity."""

    def read(entities: _Entities) -> Iterator[Batch]:
        name, ids = entities.signal.name, entities.ids
        for window in (*entities.signal.windows, ALL):
            kept = entities.signal.velocity and window != ALL
            yield {
                "window": _same(window, len(ids)),
                "count": context.db.counts(name, ids, window, at=request.at),
                "velocity": context.db.velocities(name, ids, window, at=request.at)
                if kept
                else (np.zeros(len(ids)), np.zeros(len(ids), np.bool_)),
            }

    return _source(context, request, _WINDOW, read, lambda signal: len(signal.windows) + 1)


def _source(
    context: Context,
    request: JobRequest,
    fields: tuple[Field, ...],
    read: Read,
    measures: Callable[[SignalType], int],
) -> Source:
    asked = request.signal_types or context.db.schema.names
    chosen = [signal for signal in context.db.schema if signal.name in asked]
    unfiltered = request.entity_id is request.since is request.until is None
    expected = sum(measures(signal) * sum(map(len, context.db.records(signal.name))) for signal in chosen)
    return source_of(
        (*_HEAD, *(_KEY if request.keys else ()), *fields, *_TAIL),
        _batches(context, request, chosen, read),
        context,
        request.limit,
        expected if unfiltered else None,
    )


def _batches(context: Context, request: JobRequest, chosen: list[SignalType], read: Read) -> Iterator[Batch]:
    for signal in chosen:
        for entities in _entities(context, request, signal):
            count = len(entities.ids)
            common: dict[str, Any] = {
                "entity_id": entities.ids,
                "kind": _same(signal.kind, count),
                "signal_type": _same(signal.name, count),
                "last_time_ns": entities.last_times,
                "at_ns": np.full(count, request.at, np.int64),
            }
            if request.keys:
                common["entity_key"] = context.names(signal.kind, entities.ids.tolist())
            for measured in read(entities):
                yield {**common, **measured}


def _entities(context: Context, request: JobRequest, signal: SignalType) -> Iterator[_Entities]:
    """Yield the entities of a type that the filters let through, in the table's own order."""
    for records in context.db.records(signal.name):
        for start in range(0, len(records), ROWS):
            part = records[start : start + ROWS]
            ids, times = part["entity_id"].copy(), part["last_time"].copy()  # the records live on
            wanted = np.ones(len(ids), np.bool_)
            if request.entity_id is not None:
                wanted &= ids == np.uint64(request.entity_id)
            if request.since is not None:
                wanted &= times >= request.since
            if request.until is not None:
                wanted &= times < request.until
            yield _Entities(signal, ids[wanted], times[wanted])


def _same(text: str, count: int) -> Codes:
    return Codes(np.zeros(count, np.uint8), (text,))
