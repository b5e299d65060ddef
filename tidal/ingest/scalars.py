"""One Python value -> one field of an event. The rules for columns of objects and for single events."""

from __future__ import annotations

import math
import operator
import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Final

import numpy as np

from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, format_duration
from tidal.schema.events import ID_MAX, KEY_BYTES_MAX, TIME_MAX_NS, TIME_MIN_NS

ID_RANGE: Final = "outside 0 to 2**64 - 1"
ID_TYPE: Final = "not an id; ids are integers, or strings as keys"
ID_FLOAT: Final = (
    "a float cannot hold every id exactly; pass integers (nullable ones if some are unknown, "
    "like Int64 in pandas) or strings as keys"
)
ID_MIXED: Final = "the column holds keys and numbers; make all of it strings or all of it integers"
WEIGHT_TYPE: Final = "not a number"
WEIGHT_BOOL: Final = "a bool is not a weight; write 1.0 or 0.0"
WEIGHT_RANGE: Final = "not finite as a float32, whose largest is 3.4e38"
TIME_TYPE: Final = (
    "not a time; pass ns since the epoch as an integer, a datetime, a datetime64 or an Arrow timestamp"
)
TIME_MISSING: Final = "not a time (NaT)"
MISSING: Final = "missing; every event needs one"
NOT_UTF8: Final = "not valid UTF-8 text"
KEY_LENGTH: Final = f"a key of more than {KEY_BYTES_MAX} bytes; shorten it or hash it"

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = (np.datetime64(ns, "ns").astype("M8[Y]") for ns in (TIME_MIN_NS, TIME_MAX_NS))
_F32: Final = struct.Struct("f")


class Unfit(ValueError):
    """The value is not this field of an event; the message is the reason."""


@record
class TimeRange:
    """Which times are taken: not before TIME_MIN_NS, not after ``last_ns``."""

    last_ns: int
    skew_ns: int | None

    @classmethod
    def until(cls, now_ns: int, max_future_skew_ns: int | None) -> TimeRange:
        if max_future_skew_ns is None:
            return cls(TIME_MAX_NS, None)
        return cls(min(TIME_MAX_NS, now_ns + max_future_skew_ns), max_future_skew_ns)

    def reason(self, ns: int) -> str:
        """Return why a time outside is refused."""
        if self.skew_ns is None or not TIME_MIN_NS <= ns <= TIME_MAX_NS:
            return (
                f"outside {TIME_MIN_NS} to {TIME_MAX_NS} ns (the years {_FIRST_YEAR} to {_LAST_YEAR}); "
                "an integer is read as ns since the epoch"
            )
        skew = format_duration(self.skew_ns) if self.skew_ns > 0 else f"{self.skew_ns} ns"
        return (
            f"more than max_future_skew ({skew}) ahead of now; correct the clock or time zone it comes from, "
            "or open the store with a larger max_future_skew"
        )


def id_of(value: Any) -> int:
    """Return an integer id, exactly.

    >>> id_of(2**64 - 1) == id_of(np.uint64(2**64 - 1)) == 2**64 - 1
    True
    """
    if isinstance(value, float | np.floating):
        raise Unfit(ID_FLOAT)
    if isinstance(value, str):
        raise Unfit(ID_MIXED)
    if isinstance(value, bool | np.bool_):
        raise Unfit(ID_TYPE)
    try:
        number = operator.index(value)
    except TypeError:
        raise Unfit(ID_TYPE) from None
    if not 0 <= number <= ID_MAX:
        raise Unfit(ID_RANGE)
    return number


def key_of(value: str | bytes) -> str:
    """Return a key as a plain str of at most KEY_BYTES_MAX bytes in UTF-8. Bytes are what is not UTF-8."""
    if isinstance(value, bytes):
        raise Unfit(NOT_UTF8)
    text = str.__str__(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Unfit(NOT_UTF8) from None
    if size > KEY_BYTES_MAX:
        raise Unfit(KEY_LENGTH)
    return text


def weight_of(value: Any) -> float:
    """Return a weight rounded to float64 and then to float32, as a Python float; -0.0 is 0.0.

    >>> weight_of(0.1)
    0.10000000149011612
    """
    if type(value) is not float:
        if isinstance(value, bool | np.bool_):
            raise Unfit(WEIGHT_BOOL)
        if not isinstance(value, int | Real | Decimal):
            raise Unfit(WEIGHT_TYPE)
    try:
        rounded: float = _F32.unpack(_F32.pack(float(value)))[0]
    except (OverflowError, ValueError):
        raise Unfit(WEIGHT_RANGE) from None
    if not math.isfinite(rounded):
        raise Unfit(WEIGHT_RANGE)
    return rounded + 0.0


def not_signed(name: str) -> str:
    """Return why a negative weight of this signal type is refused."""
    return f"negative, and signal type {name!r} is not declared signed=True"


def time_of(value: Any, times: TimeRange) -> int:
    """Return a time in ns since the epoch. A datetime without a zone, and a date, are UTC.

    >>> time_of(datetime(1970, 1, 1, 0, 0, 1), TimeRange.until(0, None))
    1000000000
    """
    if isinstance(value, np.datetime64):
        ns = _datetime64_ns(value)
    elif isinstance(value, datetime):
        if value != value:  # pandas.NaT is a datetime
            raise Unfit(TIME_MISSING)
        since = value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)
        # pandas.Timestamp is a datetime with ns, which a timedelta of its own carries
        fraction = since.microseconds * 1000 + getattr(since, "nanoseconds", 0)
        ns = (since.days * 86400 + since.seconds) * NS_PER_SECOND + fraction
    elif isinstance(value, date):
        ns = (value - _EPOCH.date()).days * 86400 * NS_PER_SECOND
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        ns = int(value)
    else:
        raise Unfit(TIME_TYPE)
    if not TIME_MIN_NS <= ns <= times.last_ns:
        raise Unfit(times.reason(ns))
    return ns


def _datetime64_ns(value: np.datetime64) -> int:
    if np.isnat(value):
        raise Unfit(TIME_MISSING)
    multiple, divisor = unit_in_ns(value.dtype)
    if divisor == 0:
        value = value.astype("M8[D]")
        multiple, divisor = unit_in_ns(value.dtype)
    return int(value.astype(np.int64)) * multiple // divisor


_UNIT_NS: Final = {
    "W": (7 * 86400 * NS_PER_SECOND, 1),
    "D": (86400 * NS_PER_SECOND, 1),
    "h": (3600 * NS_PER_SECOND, 1),
    "m": (60 * NS_PER_SECOND, 1),
    "s": (NS_PER_SECOND, 1),
    "ms": (1_000_000, 1),
    "us": (1_000, 1),
    "ns": (1, 1),
    "ps": (1, 1_000),
    "fs": (1, 1_000_000),
    "as": (1, 1_000_000_000),
}


def unit_in_ns(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return a datetime64 unit as a fraction of ns; (0, 0) for years and months, which vary in length."""
    unit, count = np.datetime_data(dtype)
    multiple, divisor = _UNIT_NS.get(unit, (0, 0))
    return multiple * count, divisor
