"""compare(): the live state of a store, held to what its events add up to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.db import TidalDb
from tidal.ledger import SignalLedger
from tidal.opening import open as open_store
from tidal.opening.arguments import checked_folder
from tidal.records import record
from tidal.replay.feeding import Meter, Progress, ahead, kept_batches
from tidal.replay.finding import Looking, find_source
from tidal.replay.job import make_job
from tidal.schema import EventBatch, SignalType
from tidal.schema.measures import SCORE, measures_of

TOLERANCE: Final = 1e-9  # of a score, relative to the decayed sum of absolute weights: rounding, in any order
_FLOOR: Final = 1e-290  # below it a sum has lost the bits to be compared to anything

Columns = dict[str, NDArray[Any]]


@record
class Difference:
    """One number of one record that the live state and the replay do not agree on.

    ``measure`` is as in ``view.count.1h``; ``last_time`` is the newest event's, in ns. Where one of the two
    does not know the entity, that value is None.
    """

    signal: str
    entity_id: int
    key: str | None
    measure: str
    live: float | int | None
    replayed: float | int | None


@record
class Comparison:
    """What compare() found. ``records`` were compared, over the events up to ``last_seq``."""

    records: int
    events: int
    last_seq: int
    at: int  # the time in ns as of which both were read
    differences: tuple[Difference, ...]


def compare(path: str | os.PathLike[str], *, progress: Progress | None = None) -> Comparison:
    """Replay all events of a store, and compare each record with the state that the store opens with.

    The live state is what tidal.open() makes of the newest checkpoint and the log after it; the replay is
    made of archive and log alone. Counts and times must be equal, scores to 1e-9. Nothing is changed, and
    the store may be written to meanwhile. Raises StoreMissing, MissingSegment where the beginning of the
    history is gone, and what opening a store raises.

    >>> import tempfile, tidal
    >>> folder = tempfile.mkdtemp()
    >>> with tidal.open(f"{folder}/a", schema=tidal.SchemaBuilder().signal("view").build()) as db:
    ...     seq = db.signal("view", 42)
    >>> tidal.compare(f"{folder}/a").differences
    ()
    """
    with open_store(checked_folder("path", path), clock="event", read_only=True) as db:
        source = find_source(path, Looking(None, partial=False, skip=False))
        source = source.between(source.first_seq, db.last_seq)
        job = make_job(source, None, None, None, False)
        ledger, sizes = SignalLedger(job.schema), SignalLedger(job.schema)
        signed = [it.type_id for it in job.schema if it.signed]
        meter, events = Meter(source, progress), 0
        kept = kept_batches(source.place.open(), source, job, [])
        with ledger.gathering() as gathering, sizes.gathering() as absolute:
            for last_seq, batch in ahead(kept):
                gathering.add(batch)
                absolute.add(_absolute(batch, signed))
                events += len(batch)
                meter.at(last_seq)
        at = max(db.now(), ledger.newest() or 0) if events else db.now()
        found, records = [], 0
        for signal in job.schema:
            live, replayed = db.read(signal.name, at=at), ledger.read(signal.name, at=at)
            slack = sizes.read(signal.name, at=at) if signal.signed else replayed
            both = _Aligned(dict(live), replayed, slack)
            records += len(both.ids)
            found += list(_differences(db, signal, both))
        return Comparison(records, events, db.last_seq, at, tuple(found))


def _absolute(batch: EventBatch, types: list[int]) -> EventBatch:
    """Return the events of these types with their weights' sizes."""
    chosen = batch.where(np.isin(batch.type_id, types))
    return replace(chosen, weight=np.abs(chosen.weight))


class _Aligned:
    """The columns of both sides for the union of their entities; ``slack`` is what scores are relative to."""

    def __init__(self, live: Columns, replayed: Columns, slack: Columns) -> None:
        self.ids = np.union1d(live["entity_id"], replayed["entity_id"])
        self.live, self.in_live = self._spread(live)
        self.replayed, self.in_replayed = self._spread(replayed)
        self.slack, _ = self._spread(slack)

    def _spread(self, columns: Columns) -> tuple[Columns, NDArray[np.bool_]]:
        places = np.searchsorted(self.ids, columns["entity_id"])
        there = np.zeros(len(self.ids), np.bool_)
        there[places] = True
        spread = {}
        for name, column in columns.items():
            spread[name] = np.zeros(len(self.ids), column.dtype)
            spread[name][places] = column
        return spread, there


def _differences(db: TidalDb, signal: SignalType, both: _Aligned) -> Iterator[Difference]:
    for name in ("last_time", *measures_of(signal)):
        live, replayed = both.live[name], both.replayed[name]
        if name.startswith(SCORE):
            slack = TOLERANCE * np.maximum(np.abs(both.slack[name]), np.abs(live)) + _FLOOR
            wrong = ~(np.abs(live - replayed) <= slack)
        else:
            wrong = live != replayed
        for row in np.flatnonzero(wrong).tolist():
            entity = int(both.ids[row])
            measure = name if name == "last_time" else f"{signal.name}.{name}"
            yield Difference(
                signal.name, entity, db.key_of(entity, kind=signal.kind), measure,
                live[row].item() if both.in_live[row] else None,
                replayed[row].item() if both.in_replayed[row] else None,
            )  # fmt: skip
