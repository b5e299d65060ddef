"""Which column of a file is which field of an event, and a chunk of rows as the columns of an ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.cli.readers import Chunk, Reader
from tidal.cli.times import TimeFormat, parse_times
from tidal.cli.values import all_ids, parse_ids, parse_keys, parse_numbers
from tidal.errors import UsageError

NAMED_AS: Final = ("id", "key", "auto")
_ID_FIELDS: Final = ("entity_id", "user_id", "session_id", "event_id")


class Refused(NamedTuple):
    """A row that is not an event: its number, the file's column, the value, the reason, the whole row."""

    row: int
    column: str | None
    value: Any
    reason: str
    record: Any


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """``columns`` maps an event's fields (entity_id, timestamp, ...) to a file's columns.

    Without a signal column every row is of the type ``signal``. ``signal_names`` translates the values of the
    signal column. ``named_as`` says for each of entity_id, user_id, session_id and event_id whether the
    column holds ids, keys or whatever it looks like ("auto").
    """

    columns: Mapping[str, str]
    signal: str | None = None
    signal_names: Mapping[str, str] = field(default_factory=dict)
    time_format: TimeFormat = field(default_factory=TimeFormat)
    named_as: Mapping[str, str] = field(default_factory=dict)

    def check_names(self, names: Sequence[str] | None) -> None:
        """Raise UsageError if a mapped column is not among the file's."""
        for event_field, name in self.columns.items():
            if names is not None and name not in names:
                raise UsageError(
                    f"no column {name!r} (for {event_field}); there are {', '.join(map(repr, names))}"
                )


def decide_names(mapping: ColumnMapping, reader: Reader) -> dict[str, str]:
    """Return "id" or "key" for each mapped id column; one that holds nothing but ids is "id".

    A file is read through only as far as needed: to the end where every value could be an id. Deciding by a
    first part would give one entity two names when "85123A" follows "71053".
    """
    chosen = {name: mapping.named_as.get(name, "auto") for name in _ID_FIELDS if name in mapping.columns}
    open_fields = [name for name, named in chosen.items() if named == "auto"]
    if open_fields:
        for chunk in reader.chunks():
            for name in list(open_fields):
                if not all_ids(chunk.column(mapping.columns[name]), typed=reader.typed):
                    chosen[name] = "key"
                    open_fields.remove(name)
            if not open_fields:
                break
    return {name: "id" if named == "auto" else named for name, named in chosen.items()}


def convert(
    chunk: Chunk, mapping: ColumnMapping, named_as: Mapping[str, str], *, after_row: int = 0
) -> tuple[dict[str, Any], NDArray[np.intp], list[Refused]]:
    """Return a chunk as arguments of ``db.ingest``, the positions of the rows in them, and the refused rows.

    Rows up to ``after_row`` are left out. Only what cannot be converted is refused here; what may be logged
    is for the engine to judge.
    """
    refused: dict[int, Refused] = {}
    converted: dict[str, Any] = {}
    for event_field, name in mapping.columns.items():
        values = chunk.column(name)
        if event_field == "timestamp":
            converted[event_field], bad = parse_times(values, mapping.time_format)
        elif event_field == "weight":
            converted[event_field], bad = parse_numbers(values)
        elif event_field == "signal":
            texts, bad = parse_keys(values)
            converted[event_field] = [mapping.signal_names.get(text or "", text) for text in texts]
        elif named_as[event_field] == "key":
            converted[event_field], bad = parse_keys(values)
        else:
            ids, present, bad = parse_ids(values)
            converted[event_field] = ids if present.all() else np.ma.array(ids, mask=~present)
        for position, reason in bad.items():
            if position not in refused and chunk.rows[position] > after_row:
                refused[position] = refuse(chunk, position, name, reason)
    wanted = chunk.rows > after_row
    wanted[list(refused)] = False
    kept = np.flatnonzero(wanted)
    if len(kept) < len(chunk):
        converted = {name: _take(values, kept) for name, values in converted.items()}
    if mapping.signal is not None:
        converted["signal"] = mapping.signal
    return converted, kept, [refused[position] for position in sorted(refused)]


def refuse(chunk: Chunk, position: int, column: str | None, reason: str) -> Refused:
    """Return why a row of a chunk was refused, with the row as it was read."""
    record = chunk.record(position)
    value = record.get(column) if column is not None else None
    return Refused(int(chunk.rows[position]), column, value, reason, record)


def _take(values: Any, kept: NDArray[np.intp]) -> Any:
    return (
        values[kept] if isinstance(values, np.ndarray) else [values[position] for position in kept.tolist()]
    )
