"""A family of metrics: a name, what it means, and its values by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, Literal, Self

from tidal._ext.meter import Meter
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND

PREFIX: Final = "tidaldb_"
PARTITION: Final = "partition_id"  # a label of every metric: which shard the store is

Kind = Literal["gauge", "counter", "histogram"]

Values = Mapping[tuple[str, ...], float]  # by the values of the labels

_SECONDS: Final = range(12, 37)  # powers of two of ns: 4 µs to 69 s
_EVENTS: Final = range(0, 25)  # 1 to 17 million


@record
class Distribution:
    """How many observations lie at or below each bound, cumulative; the last bound is infinity."""

    buckets: tuple[tuple[float, int], ...]
    total: float

    @classmethod
    def of(cls, meter: Meter, powers: range, scale: int) -> Self:
        """Return what a meter holds, of values that are ``scale`` to the unit."""
        total, counts = meter.read()
        upto = list(accumulate(counts))
        bounds = [(2.0**power / scale, upto[power]) for power in powers]
        return cls((*bounds, (float("inf"), upto[-1])), total / scale)


Distributions = Mapping[tuple[str, ...], Distribution]  # by the values of the labels


@record
class Family:
    """One metric with all of its label values; ``labels`` are the names, PARTITION left out."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...]
    values: Values
    distributions: Distributions

    @classmethod
    def gauge(
        cls,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        values: Values | None = None,
        *,
        value: float = 0,
    ) -> Self:
        """Return what goes up and down: ``values`` by labels, or one ``value``."""
        return cls._of_values("gauge", name, text, labels, values, value)

    @classmethod
    def counter(
        cls,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        values: Values | None = None,
        *,
        value: float = 0,
    ) -> Self:
        """Return what only grows while a database is open; ``name`` ends in _total."""
        return cls._of_values("counter", name, text, labels, values, value)

    @classmethod
    def _of_values(
        cls, kind: Kind, name: str, text: str, labels: Sequence[str], values: Values | None, value: float
    ) -> Self:
        found: Values = {(): value} if values is None else values
        return cls(PREFIX + name, kind, text, tuple(labels), found, {})

    @classmethod
    def histogram(cls, name: str, text: str, labels: Sequence[str], found: Distributions) -> Self:
        """Return distributions by labels."""
        return cls(PREFIX + name, "histogram", text, tuple(labels), {}, found)


def seconds_histogram(
    name: str, text: str, meter: Meter | Mapping[str, Meter], label: str | None = None
) -> Family:
    """Return the distribution of times that a meter holds in ns; several by one label."""
    if isinstance(meter, Meter):
        return Family.histogram(name, text, (), {(): Distribution.of(meter, _SECONDS, NS_PER_SECOND)})
    found: Distributions = {
        (value,): Distribution.of(each, _SECONDS, NS_PER_SECOND) for value, each in meter.items()
    }
    return Family.histogram(name, text, (label or "",), found)


def events_histogram(name: str, text: str, meter: Meter) -> Family:
    """Return the distribution of numbers of events."""
    return Family.histogram(name, text, (), {(): Distribution.of(meter, _EVENTS, 1)})
