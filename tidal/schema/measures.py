"""Measures by name: ``view.score``, ``like.score.30d``, ``view.count.1h``, ``view.velocity.24h``."""

from __future__ import annotations

from typing import NamedTuple

from tidal.errors import UnknownMeasure
from tidal.schema.durations import format_duration
from tidal.schema.spec import Schema, SignalType

SCORE, COUNT, VELOCITY = "score", "count", "velocity"


class Measure(NamedTuple):
    """What to read of a signal type."""

    signal: SignalType
    what: str  # SCORE, COUNT or VELOCITY
    window: str = ""  # of a count or velocity
    position: int = 0  # of a score: which half-life


def parse_measure(signal: SignalType, name: str) -> Measure:
    """Return the measure of a signal type that is called name: "score", "score.30d", "count.1h",
    "velocity.24h".
    """
    what, _, rest = name.partition(".") if isinstance(name, str) else ("", "", "")
    if what == SCORE:
        return Measure(signal, SCORE, position=signal.half_life_position(rest or None))
    if what in (COUNT, VELOCITY) and rest:
        signal.check_window(rest, velocity=what == VELOCITY)
        return Measure(signal, what, window=rest)
    raise UnknownMeasure(
        f"{name!r} is not a measure; signal type {signal.name!r} has {', '.join(measures_of(signal))}"
    )


def parse_qualified(schema: Schema, name: str) -> Measure:
    """Return the measure that is called name with its signal type in front: "view.velocity.1h"."""
    if not isinstance(name, str):
        raise UnknownMeasure(f'{name!r} is not a measure; name one as "view.score" or "view.count.1h"')
    signal, _, rest = name.partition(".")
    return parse_measure(schema.signal(signal), rest)


def measures_of(signal: SignalType) -> tuple[str, ...]:
    """Return the names of all that can be read of a signal type.

    >>> from tidal.schema.spec import SignalType
    >>> measures_of(SignalType("view", 0, half_lives=(604800 * 10**9,), windows=("1h",), velocity=True))
    ('score', 'count.1h', 'count.all', 'velocity.1h')
    """
    scores = [SCORE, *(f"{SCORE}.{format_duration(h)}" for h in signal.half_lives[1:])]
    counts = [f"{COUNT}.{window}" for window in (*signal.windows, "all")]
    velocities = [f"{VELOCITY}.{window}" for window in signal.windows] if signal.velocity else []
    return (*scores, *counts, *velocities)
