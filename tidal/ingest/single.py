"""One event of db.signal(): the rules of columns without making arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tidal.errors import InvalidEvent
from tidal.ingest.keys import ResolveKeys
from tidal.ingest.scalars import TimeRange, Unfit, id_of, key_of, not_signed, time_of, weight_of
from tidal.schema.events import ID_MAX, TIME_MIN_NS, EventBatch, EventRow, NewKey, batch_of_rows
from tidal.schema.spec import Schema, SignalType

_T = TypeVar("_T")

# signal type, entity id, weight (a float32 value), time in ns, user, session, event id, new names
OneEvent = tuple[SignalType, int, float, int, int | None, int | None, int | None, tuple[NewKey, ...]]


def prepare_one(
    schema: Schema,
    signal: str,
    entity_id: Any,
    weight: Any = 1.0,
    timestamp: Any = None,
    user_id: Any = None,
    session_id: Any = None,
    event_id: Any = None,
    *,
    now_ns: int,
    max_future_skew_ns: int | None,
    resolve_keys: ResolveKeys,
) -> OneEvent:
    """Return one event, checked; a plain tuple, because this is the path of every single call.

    Raises UnknownSignalType, or InvalidEvent naming the column and value.
    """
    signal_type = schema.signal(signal)
    new: tuple[NewKey, ...] = ()
    if type(entity_id) is not int or not 0 <= entity_id <= ID_MAX:
        entity_id, new = resolve_one("entity_id", entity_id, signal_type.kind, resolve_keys)
    if type(weight) is not float or weight != 1.0:
        given, weight = weight, _field("weight", weight, weight_of)
        if weight < 0 and not signal_type.signed:
            raise _error("weight", given, not_signed(signal))
    timestamp = now_ns if timestamp is None else checked_time(timestamp, now_ns, max_future_skew_ns)
    if user_id is not None and (type(user_id) is not int or not 0 <= user_id <= ID_MAX):
        user_id, new_user = resolve_one("user_id", user_id, "user", resolve_keys)
        new += tuple(key for key in new_user if key not in new)
    if session_id is not None:
        session_id, _ = resolve_one("session_id", session_id, None, resolve_keys)
    if event_id is not None:
        event_id, _ = resolve_one("event_id", event_id, None, resolve_keys)
    return signal_type, entity_id, weight, timestamp, user_id, session_id, event_id, new


def checked_time(timestamp: Any, now_ns: int, max_future_skew_ns: int | None) -> int:
    """Return the time of one event in ns, or raise InvalidEvent."""
    if type(timestamp) is int and TIME_MIN_NS <= timestamp <= now_ns:
        return timestamp
    within = TimeRange.until(now_ns, max_future_skew_ns)
    return _field("timestamp", timestamp, lambda value: time_of(value, within))


def row_of(event: OneEvent) -> EventRow:
    """Return one event as a row of a batch; its new names are not in it."""
    signal_type, entity_id, weight, timestamp, user_id, session_id, event_id, _ = event
    return entity_id, signal_type.type_id, weight, timestamp, user_id, session_id, event_id


def batch_of(event: OneEvent) -> EventBatch:
    """Return one event as a batch."""
    return batch_of_rows((row_of(event),), event[-1])


def resolve_one(
    column: str, value: Any, kind: str | None, resolve_keys: ResolveKeys
) -> tuple[int, tuple[NewKey, ...]]:
    """Return the id that a value of a column stands for, and its name if that is new."""
    if not isinstance(value, str):
        return _field(column, value, id_of), ()
    ids, new = resolve_keys(kind, (_field(column, value, key_of),))
    return int(ids[0]), new


def _field(column: str, value: Any, convert: Callable[[Any], _T]) -> _T:
    try:
        return convert(value)
    except Unfit as unfit:
        raise _error(column, value, str(unfit)) from None


def _error(column: str, value: object, reason: str) -> InvalidEvent:
    return InvalidEvent(reason, row=0, column=column, value=value)
