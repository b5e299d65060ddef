"""replay_at() and timeline(): what was known of entities at many past moments, from one pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.answers import Columns
from tidal.errors import InvalidOption, SchemaError
from tidal.ingest.lookup import entity_ids
from tidal.replay.asked import Asked, ids_of_keys, read_rows
from tidal.replay.feeding import Meter, Progress, ahead, kept_events
from tidal.replay.finding import Looking, find_source
from tidal.replay.job import Job, checked_time, make_job
from tidal.replay.moments import Moments, Tally
from tidal.replay.options import OnDamage, flag, skips
from tidal.replay.source import LeftOut, Source
from tidal.schema import Duration, Schema, SignalType, parse_duration
from tidal.schema.measures import SCORE, Measure, measures_of, parse_measure, parse_qualified

ROWS_MAX = 100_000_000  # of a timeline


def replay_at(
    source: Any,
    frame: Any,
    *,
    schema: Schema | None = None,
    signals: Collection[str] | None = None,
    measures: Collection[str] | None = None,
    strict: bool = False,
    partial: bool = False,
    on_damage: OnDamage = "raise",
    progress: Progress | None = None,
) -> Columns:
    """Return scores, counts and velocities of entities, each as of the time of its row, nothing later.

    - ``source``, ``schema``, ``signals``, ``partial``, ``on_damage``, ``progress``: as for tidal.replay().
    - ``frame``: rows of ``entity_id`` (or ``entity``, ``key``: ids or string keys) and ``time`` (or
      ``timestamp``), as a table of polars, pandas, pyarrow or DuckDB or a dict of columns, in any order. With
      a column ``signal`` each row asks about its own signal type.
    - ``measures``: which columns, such as ``["view.score", "like.count.24h"]``; default: all. With a column
      ``signal`` they have no type in front: ``["score", "count.24h"]``.
    - ``strict``: an event at exactly the time of a row is left out. Default: it counts, as it does for
      ``tidal.replay(source, until=time)``, whose answers at that time are these.

    The result has the rows of the frame in its order: ``entity_id`` uint64, ``key`` where keys were given,
    ``time`` int64 (ns), and the measures: scores and velocities float64, counts uint64. With a column
    ``signal`` all measures are float64, NaN where the row's type does not have them.

    An event counts from its own time on, also if it arrived late: what is "known" is what had happened.
    One pass, whatever the order of events; memory: some hundred bytes a row and signal type. Raises as
    tidal.replay(), InvalidEvent for a row that is none, SchemaError where signals are of several kinds of
    entities, UnknownMeasure.

    >>> import tempfile, tidal
    >>> folder = tempfile.mkdtemp()
    >>> schema = tidal.SchemaBuilder().signal("view", half_life="1h").build()
    >>> hour = 3600 * 10**9
    >>> with tidal.open(f"{folder}/a", schema=schema) as db:
    ...     last = db.ingest(signal="view", entity_id=[7, 7], timestamp=[0, 2 * hour])
    >>> tidal.replay_at(f"{folder}/a", {"entity_id": [7, 7], "time": [hour, 2 * hour]})["view.score"]
    array([0.5 , 1.25])
    """
    found, job = _looked_at(source, schema, signals, None, partial, on_damage)
    asked = read_rows(frame, job.schema)
    job = replace(job, selected=replace(job.selected, until=int(asked.times.max(initial=0))))
    reader = _ByRow if asked.types is not None else _ForAll
    plan = reader(job.schema, asked, measures, flag("strict", strict))
    _feed(found, job, plan.tallies, plan.moments, progress)
    return _as_columns(asked, plan.answers())


def timeline(
    source: Any,
    entities: Any,
    *,
    every: Duration,
    since: Any = None,
    until: Any = None,
    schema: Schema | None = None,
    signals: Collection[str] | None = None,
    measures: Collection[str] | None = None,
    partial: bool = False,
    on_damage: OnDamage = "raise",
    progress: Progress | None = None,
) -> Columns:
    """Return scores, counts and velocities of some entities at regular times, for plots and back-tests.

    - ``entities``: ids or string keys.
    - ``every``: the time between two rows, such as ``"1d"``; times are whole multiples of it since the
      epoch, in UTC.
    - ``since``, ``until``: the first and the last time; default: those of the first and the last event.

    All else is as for replay_at(). The rows are ordered by entity, as given, then by time.
    """
    end = checked_time("until", until)
    found, job = _looked_at(source, schema, signals, end, partial, on_damage)
    kind = _kind(job.schema, list(job.schema))
    ids = entity_ids(entities, kind, ids_of_keys)
    at = _regular(found, len(ids), parse_duration(every), checked_time("since", since), end)
    keys = np.array(list(entities), object) if len(ids) and isinstance(entities[0], str) else None
    asked = Asked(
        np.repeat(ids, len(at)), np.tile(at, len(ids)), None, None if keys is None else keys.repeat(len(at))
    )
    plan = _ForAll(job.schema, asked, measures, False)
    _feed(found, job, plan.tallies, plan.moments, progress)
    return _as_columns(asked, plan.answers())


# ------------------------------------------------------------------------------------ what is asked


class _ForAll:
    """Every row is asked for the same measures, of one or more signal types."""

    def __init__(self, schema: Schema, asked: Asked, names: Collection[str] | None, strict: bool) -> None:
        if names is None:
            names = [f"{it.name}.{name}" for it in schema for name in measures_of(it)]
        self._measures = {name: parse_qualified(schema, name) for name in _listed(names)}
        wanted = list(self._measures.values())
        _kind(schema, [it.signal for it in wanted])
        moments = Moments(asked.ids, asked.times, _windows(wanted), strict=strict)
        self.moments = [moments]
        by_type = {it.signal.type_id: it.signal for it in wanted}
        self.tallies = {
            type_id: (0, Tally(signal, moments, [it for it in wanted if it.signal == signal]))
            for type_id, signal in by_type.items()
        }

    def answers(self) -> dict[str, NDArray[Any]]:
        found = {type_id: tally.answers() for type_id, (_, tally) in self.tallies.items()}
        return {name: found[it.signal.type_id][it] for name, it in self._measures.items()}


class _ByRow:
    """Every row is asked for the measures of its own signal type."""

    def __init__(self, schema: Schema, asked: Asked, names: Collection[str] | None, strict: bool) -> None:
        assert asked.types is not None
        signals = [schema.by_id(type_id) for type_id in np.unique(asked.types).tolist()]
        if names is None:
            names = list(dict.fromkeys(name for it in signals for name in measures_of(it)))
        self._names, self._count = _listed(names), len(asked.ids)
        self.moments: list[Moments] = []
        self.tallies: dict[int, tuple[int, Tally]] = {}
        self._parts: list[tuple[NDArray[np.intp], dict[str, Measure], Tally]] = []
        for signal in signals:
            measures = {
                name: parse_measure(signal, name) for name in self._names if name in measures_of(signal)
            }
            rows = np.flatnonzero(asked.types == signal.type_id)
            wanted = list(measures.values())
            moments = Moments(asked.ids[rows], asked.times[rows], _windows(wanted), strict=strict)
            tally = Tally(signal, moments, wanted)
            self.tallies[signal.type_id] = (len(self.moments), tally)
            self.moments.append(moments)
            self._parts.append((rows, measures, tally))
        for name in self._names:
            if signals and not any(name in measures for _, measures, _ in self._parts):
                parse_measure(signals[0], name)  # raises, naming what there is

    def answers(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {name: np.full(self._count, np.nan) for name in self._names}
        for rows, measures, tally in self._parts:
            found = tally.answers()
            for name, measure in measures.items():
                columns[name][rows] = found[measure]
        return columns


def _listed(names: Collection[str]) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Collection) or not names:
        raise InvalidOption(f'measures={names!r}: give names in a list, as ["view.score"]')
    return list(names)


def _windows(measures: Sequence[Measure]) -> list[str]:
    """Return the windows whose beginnings must be known."""
    return sorted({it.window for it in measures if it.what != SCORE and it.window in it.signal.windows})


def _kind(schema: Schema, signals: Sequence[SignalType]) -> str:
    kinds = sorted({it.kind for it in signals})
    if len(kinds) != 1:
        raise SchemaError(
            f"one frame names entities of one kind, the signal types are of {' and '.join(kinds) or 'none'}; "
            "name those of one kind with signals="
        )
    return kinds[0]


def _regular(
    source: Source, entities: int, step: int, since: int | None, until: int | None
) -> NDArray[np.int64]:
    """Return the multiples of a step from one time to another, if that is not too much."""
    pieces = [it for it in source.pieces if it.events]
    first = since if since is not None else min((it.min_time for it in pieces), default=0)
    last = until if until is not None else max((it.max_time for it in pieces), default=0)
    if first > last:
        raise InvalidOption(f"since ({first}) is after until ({last})")
    start = -(-first // step) * step
    count = max((last - start) // step + 1, 0)
    if entities * count > ROWS_MAX:
        raise InvalidOption(
            f"{entities} entities at {count:,} times are more than {ROWS_MAX:,} rows; make every= longer"
        )
    return start + np.arange(count, dtype=np.int64) * step


# ------------------------------------------------------------------------------------ the pass


def _looked_at(
    source: Any,
    schema: Schema | None,
    signals: Collection[str] | None,
    until: int | None,
    partial: bool,
    on_damage: OnDamage,
) -> tuple[Source, Job]:
    skip = skips(on_damage)
    found = find_source(source, Looking(schema, flag("partial", partial), skip))
    return found, make_job(found, schema, signals, until, skip)


def _feed(
    source: Source,
    job: Job,
    tallies: dict[int, tuple[int, Tally]],
    moments: list[Moments],
    progress: Progress | None,
) -> None:
    """Show every event to the tally of its type."""
    meter = Meter(source, progress)
    lost: list[LeftOut] = []
    for last_seq, batch in ahead(kept_events(source.place.open(), source, job, lost)):
        present = np.flatnonzero(np.bincount(batch.type_id, minlength=1))
        for type_id in present.tolist():
            if type_id not in tallies:
                continue
            number, tally = tallies[type_id]
            part = batch if len(present) == 1 else batch.where(batch.type_id == type_id)
            tally.add(part, *moments[number].place(part))
        meter.at(last_seq)
    meter.at(source.last_seq)


def _as_columns(asked: Asked, answers: dict[str, NDArray[Any]]) -> Columns:
    columns: dict[str, NDArray[Any]] = {"entity_id": asked.ids}
    if asked.keys is not None:
        columns["key"] = asked.keys
    columns["time"] = asked.times
    return Columns(columns | answers, times=("time",))
