"""What to export, and what one exported signal is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsIndex

from tidal._ext.text import float_text
from tidal.entities import checked_id, entity_key_id
from tidal.errors import InvalidOption
from tidal.export.formats import ExportFormat, encoding_of
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.schema import Schema
from tidal.schema.events import TIME_MAX_NS, TIME_MIN_NS

Entity = SupportsIndex | str
Time = Any  # ns since the epoch, datetime, numpy.datetime64

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which signals to export.

    ``since`` is inclusive, ``until`` exclusive (int ns, datetime or numpy.datetime64); at least one of them,
    or ``all=True``, or ``after_seq``. ``signal_types``: none means all. ``user_id``, ``session_id``,
    ``entity_id``: an id or a string key. ``limit``: the most events, counted after the filters.
    ``after_seq`` and ``until_seq``: only events with sequences after the one, up to the other. ``keys``:
    string keys too. ``format`` is what write() makes where the path does not say it.

    >>> ExportRequest.time_range(100, 200).since
    100
    """

    user_id: Entity | None = None
    signal_types: Sequence[str] = ()
    since: Time | None = None
    until: Time | None = None
    format: ExportFormat = ExportFormat.JsonLines
    limit: int | None = None
    session_id: Entity | None = None
    entity_id: Entity | None = None
    all: bool = False
    after_seq: int | None = None
    until_seq: int | None = None
    keys: bool = False

    @classmethod
    def time_range(cls, since: Time, until: Time) -> ExportRequest:
        """Return a request for all signals with since <= time < until."""
        return cls(since=since, until=until)

    @classmethod
    def signals_in_range(cls, signal_types: Sequence[str], since: Time, until: Time) -> ExportRequest:
        """Return a request for the signals of these types with since <= time < until."""
        return cls(signal_types=signal_types, since=since, until=until)

    def checked(self, schema: Schema) -> ExportRequest:
        """Return the request with ids and ns for all that names them otherwise.

        Raises InvalidOption, InvalidEntity, UnknownSignalType.
        """
        if self.since is None and self.until is None and self.after_seq is None and not self.all:
            raise InvalidOption("neither since= nor until=: say all=True for everything that there is")
        names = self.signal_types
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise InvalidOption(f"signal_types is {names!r}; write a list of names")
        return ExportRequest(
            _id(self.user_id),
            tuple(schema.signal(name).name for name in names),
            _ns("since", self.since),
            _ns("until", self.until),
            encoding_of(None, self.format).format,
            _count("limit", self.limit),
            _id(self.session_id),
            _id(self.entity_id),
            bool(self.all),
            _count("after_seq", self.after_seq),
            _count("until_seq", self.until_seq),
            bool(self.keys),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is asked for and not left out, as manifests have it."""
        fields = {name: value for name, value in asdict(self).items() if value not in (None, (), False)}
        return {**fields, "format": ExportFormat(self.format).value}


@dataclass(frozen=True, slots=True)
class ExportedSignal:
    """One event. ``timestamp_ns`` is ns since the epoch; ``weight`` the nearest float to the stored float32.

    ``entity_key`` and ``user_key`` are known where the request said ``keys=True``.
    """

    entity_id: int
    signal_type: str
    weight: float
    timestamp_ns: int
    user_id: int | None = None
    session_id: int | None = None
    entity_key: str | None = None
    user_key: str | None = None

    def to_json_line(self) -> str:
        """Return the event as a JSON object in one line, without the newline: as files have it.

        >>> ExportedSignal(42, "view", 1.0, 1_700_000_000_000_000_000).to_json_line()
        '{"entity_id":42,"signal_type":"view","weight":1.0,"timestamp_ns":1700000000000000000,"user_id":null,"session_id":null}'
        """
        fields = asdict(self)
        if self.entity_key is None and self.user_key is None:
            del fields["entity_key"], fields["user_key"]
        # The weight in the digits of a float32; JSON has no other form for it that _JSON would write.
        parts = {name: _JSON.encode(value) for name, value in fields.items()}
        parts["weight"] = float_text(self.weight, single=True)
        return "{" + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}"


def _id(entity: Entity | None) -> int | None:
    if entity is None:
        return None
    return entity_key_id(entity) if isinstance(entity, str) else checked_id(entity)


def _ns(name: str, time: Time | None) -> int | None:
    if time is None:
        return None
    if type(time) is int:  # a bound beyond all events is no error
        return min(max(time, TIME_MIN_NS), TIME_MAX_NS + 1)
    try:
        return time_of(time, TimeRange.until(0, None))
    except Unfit as unfit:
        raise InvalidOption(f"{name} is {time!r}: {unfit}") from None


def _count(name: str, value: int | None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise InvalidOption(f"{name} is {value!r}; it is an integer, 0 or more")
    return value
