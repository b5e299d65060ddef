"""Hypothesis strategies for schemas, events and batches, drawn to where an engine goes wrong.

Times gather on and 1 ns beside the edges of minutes and hours, repeat, arrive late, lie before 1970, and
leap by ten thousand half-lives; weights are zero, tiny and huge; ids include both ends of u64.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tidal.schema import EventBatch, Schema, SchemaBuilder, SignalType, format_duration
from tidal.schema.durations import NS_PER_SECOND
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS
from tidal.schema.spec import HALF_LIVES_MAX, KINDS, WINDOW_SECONDS
from tidal.testing.model import Event

_F32 = np.finfo(np.float32)
_MINUTE = 60 * NS_PER_SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_BASES = (0, -_DAY * 365 * 40, _DAY * 365 * 55, TIME_MIN_NS, TIME_MAX_NS)  # the epoch, 1930, 2025, both ends
_HALF_LIVES = ("1ms", "1s", "90s", "1h", "36h", "7d", "30d", "36525d")
_EXTREME_WEIGHTS = tuple(
    float(np.float32(weight)) for weight in (_F32.smallest_subnormal, _F32.tiny, 1e-30, 1e30, _F32.max)
)
_FAR = 10_000  # half-lives after which nothing is left of a score


def names() -> st.SearchStrategy[str]:
    """Valid names of signal types."""
    return st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)


@st.composite
def schemas(draw: st.DrawFn, max_signals: int = 3) -> Schema:
    """Schemas of one to ``max_signals`` types, with any mix of options."""
    builder = SchemaBuilder()
    for name in draw(st.lists(names(), min_size=1, max_size=max_signals, unique=True)):
        windows = draw(st.sets(st.sampled_from(list(WINDOW_SECONDS))))
        builder.signal(
            name,
            kind=draw(st.sampled_from(KINDS)),
            half_life=draw(st.lists(st.sampled_from(_HALF_LIVES), max_size=HALF_LIVES_MAX, unique=True)),
            windows=windows,
            velocity=bool(windows) and draw(st.booleans()),
            signed=draw(st.booleans()),
        )
    return builder.build()


def entity_ids(count: int = 4) -> st.SearchStrategy[int]:
    """A few ids, so that events meet, among them 0 and 2**64 - 1."""
    edges = (0, 2**64 - 1, 1, 2**63, 42, 2**32)
    return (
        st.sampled_from(edges[:count])
        if count <= len(edges)
        else st.sampled_from((*edges, *range(100, 94 + count)))
    )


def weights(signed: bool = False) -> st.SearchStrategy[float]:
    """Finite f32 weights: mostly ordinary, also 0.0, the smallest and the largest."""
    low = -1000.0 if signed else 0.0
    ordinary = st.floats(min_value=low, max_value=1000.0, width=32)
    extreme = st.sampled_from((0.0, 1.0, *_EXTREME_WEIGHTS))
    if signed:
        extreme = st.builds(lambda weight, sign: weight * sign, extreme, st.sampled_from((1.0, -1.0)))
    return st.one_of(ordinary, ordinary, extreme)


@st.composite
def timestamps(draw: st.DrawFn, size: int, half_lives: Sequence[int] = ()) -> list[int]:
    """A list of ``size`` times in order of arrival: each is the one before, moved by one of the steps.

    ``half_lives`` (ns) add leaps of ten thousand of each.
    """
    leaps = [h * _FAR for h in half_lives] or [_DAY * 365]
    step = st.one_of(
        st.just(0),
        st.integers(0, 2 * _MINUTE),
        st.integers(0, 2 * _HOUR),
        st.integers(0, 8 * _DAY),
        st.integers(-3 * _HOUR, 0),  # late, most often still inside a window
        st.integers(-9 * _DAY, 0),  # late, most often outside
        st.sampled_from([*leaps, *(-leap for leap in leaps)]),
    )
    now = draw(st.sampled_from(_BASES)) + draw(st.integers(-_HOUR, _HOUR))
    times = []
    for move in draw(st.lists(step, min_size=size, max_size=size)):
        now += move
        if draw(st.integers(0, 3)) == 0:
            now = _beside_an_edge(draw, now)
        now = min(max(now, TIME_MIN_NS), TIME_MAX_NS)
        times.append(now)
    return times


def _beside_an_edge(draw: st.DrawFn, now: int) -> int:
    bucket = draw(st.sampled_from((_MINUTE, _HOUR)))
    return now // bucket * bucket + draw(st.sampled_from((-1, 0, 1)))


@st.composite
def events(draw: st.DrawFn, schema: Schema, max_size: int = 40, entities: int = 4) -> list[Event]:
    """Events of any type of ``schema``, in order of arrival."""
    types: list[SignalType] = draw(st.lists(st.sampled_from(schema.signals), max_size=max_size))
    half_lives = sorted({h for signal in types for h in signal.half_lives})
    times = draw(timestamps(len(types), half_lives))
    return [
        Event(signal.name, draw(entity_ids(entities)), draw(weights(signal.signed)), time)
        for signal, time in zip(types, times, strict=True)
    ]


def reading_times(events: Sequence[Event]) -> st.SearchStrategy[int]:
    """Times to read at: those of the events, their edges, and up to a year around them."""
    times = [event.timestamp for event in events] or [0]
    near = st.builds(
        lambda time, move: min(max(time + move, TIME_MIN_NS), TIME_MAX_NS),
        st.sampled_from(times),
        st.one_of(
            st.sampled_from((0, 1, -1)), st.integers(-_HOUR, _HOUR), st.integers(-365 * _DAY, 365 * _DAY)
        ),
    )
    edge = st.builds(
        lambda time, bucket, buckets: min(max((time // bucket + buckets) * bucket, TIME_MIN_NS), TIME_MAX_NS),
        st.sampled_from(times),
        st.sampled_from((_MINUTE, _HOUR)),
        st.sampled_from((0, 1, 23, 24, 25, 59, 60, 61, 167, 168, 169)),
    )
    return st.one_of(near, edge)


def measures(signal: SignalType) -> list[str]:
    """Return every measure that the type answers: "score", "score.7d", "count.all", "velocity.1h", ..."""
    return [
        "score",
        *(f"score.{format_duration(half_life)}" for half_life in signal.half_lives),
        "count.all",
        *(f"count.{window}" for window in signal.windows),
        *(f"velocity.{window}" for window in signal.windows if signal.velocity),
    ]


def to_batch(schema: Schema, events: Sequence[Event]) -> EventBatch:
    """Return the events as columns, in the order given, as ingest makes them: no weight is -0.0."""

    def column(values: list[Any], dtype: type[np.generic]) -> Any:
        return np.array(values, dtype=dtype)

    return EventBatch(
        entities=column([event.entity_id for event in events], np.uint64),
        type_id=column([schema.signal(event.signal).type_id for event in events], np.uint8),
        weight=column([event.weight for event in events], np.float32) + np.float32(0),  # -0.0 is 0.0
        timestamp=column([event.timestamp for event in events], np.int64),
    )


@st.composite
def splits(draw: st.DrawFn, events: Sequence[Event]) -> list[list[Event]]:
    """Cut the events, in order, into batches of any sizes, empty ones included."""
    cuts = draw(st.lists(st.integers(0, len(events)), max_size=6).map(sorted))
    return [list(events[start:stop]) for start, stop in pairwise([0, *cuts, len(events)])]


@st.composite
def batches(draw: st.DrawFn, schema: Schema, max_size: int = 40) -> list[EventBatch]:
    """Events of ``schema`` as batches, in order."""
    return [to_batch(schema, part) for part in draw(splits(draw(events(schema, max_size))))]
