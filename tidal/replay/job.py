"""What a replay does with the events: which are kept, and what they mean in the result."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.errors import InvalidEvent, InvalidOption, SchemaError
from tidal.history import newest_times
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.opening.arguments import check_schema
from tidal.records import record
from tidal.replay.reading import Selected
from tidal.replay.source import Source
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.schema.matching import DROPPED, UNKNOWN, match_types


@record
class Job:
    """What is kept, and as what; small, for tasks in any process. ``types`` are the bytes of uint16[256]: the
    id in ``schema`` of each of the source's types, or DROPPED, or UNKNOWN.
    """

    schema: Schema
    selected: Selected
    types: bytes
    skip: bool = False  # leave out what is damaged

    def keep(self, batch: EventBatch) -> EventBatch:
        """Return the events that are kept, with the ids that their types have in the result, and all new
        keys; users, sessions and what is no signal are left behind.
        """
        table: NDArray[np.uint16] = np.frombuffer(self.types, np.uint16)
        types = table[batch.type_id]
        kept = None
        if len(types) and int(types.max()) >= NOTE_TYPE_ID:
            kept = types < NOTE_TYPE_ID
            if bool((types == UNKNOWN).any()):
                type_id = int(batch.type_id[types == UNKNOWN][0])
                raise SchemaError(f"events of a type with id {type_id}, which the source does not declare")
        until = self.selected.until
        if until is not None and len(types) and int(batch.timestamp.max()) > until:
            early = batch.timestamp <= until
            kept = early if kept is None else kept & early
        columns = (batch.entities, types.astype(np.uint8), batch.weight, batch.timestamp)
        if kept is not None:
            columns = tuple(column[kept] for column in columns)  # type: ignore[assignment]
        return EventBatch(*columns, new_keys=batch.new_keys)


def promised(source: Source, job: Job) -> dict[int, int]:
    """Return, by type id of the result, a time in ns that the newest event to come is at or after.

    It is what SignalLedger.expect() is told before the events are applied. Only pieces of which every event
    is kept can promise anything, and nothing does where damage may be left out.
    """
    until = job.selected.until
    whole = (
        it
        for it in source.pieces
        if source.first_seq <= it.first_seq and it.last_seq <= source.last_seq
        if (until is None or it.max_time <= until) and not job.skip
    )
    table: NDArray[np.uint16] = np.frombuffer(job.types, np.uint16)
    return {int(table[it]): t for it, t in newest_times(whole).items() if table[it] < NOTE_TYPE_ID}


def make_job(
    source: Source, schema: Schema | None, signals: Collection[str] | None, until: int | None, skip: bool
) -> Job:
    """Return the job of some options. Raises SchemaError, UnknownSignalType, InvalidOption."""
    check_schema(schema)
    target = source.schema if schema is None else schema
    if signals is not None:
        target = _only(source, target, signals)
        drop = [name for name in source.schema.names if name not in target.names]
    elif missing := [name for name in source.schema.names if name not in target.names]:
        raise SchemaError(
            f"schema= has no {', '.join(missing)}, of which the source has events; declare them too, or name "
            f"the types that are wanted: signals={list(target.names)}"
        )
    else:
        drop = []
    types = match_types(source.schema, target, drop, task="replay")
    wanted = tuple(it.type_id for it in source.schema if types[it.type_id] < NOTE_TYPE_ID)
    types[NOTE_TYPE_ID] = DROPPED  # operations of sessions are no part of scores
    return Job(target, Selected(wanted, until), types.tobytes(), skip)


def _only(source: Source, schema: Schema, signals: Collection[str]) -> Schema:
    """Return the schema of the named types alone: what was not replayed cannot be read as zero."""
    if isinstance(signals, str) or not isinstance(signals, Collection) or not signals:
        raise InvalidOption(f'signals={signals!r}: give the names of signal types in a list, as ["view"]')
    for name in signals:
        schema.signal(name)
        source.schema.signal(name)
    return Schema(tuple(it for it in schema if it.name in signals))


def checked_time(name: str, value: Any) -> int | None:
    """Return a time in ns, given as ns, datetime or datetime64; None for None. Raises InvalidEvent."""
    if value is None:
        return None
    try:
        return time_of(value, TimeRange.until(0, None))
    except Unfit as unfit:
        raise InvalidEvent(str(unfit), column=name, value=value) from None
