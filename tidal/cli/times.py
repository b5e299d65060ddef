"""Times as people write them, to ns since the epoch, UTC, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tidal.errors import UsageError
from tidal.schema.durations import NS_PER_SECOND

NS_PER_UNIT: Final = {"s": NS_PER_SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(
    r"(\d{4})(-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?)\s*(?:([Zz])|([+-])(\d\d):?(\d\d)?)?"
)
_YEARS: Final = range(1678, 2262)  # whole years that fit 64-bit ns; NumPy would wrap outside without a word
_INT64_MAX: Final = (1 << 63) - 1
_FORMAT_HINT: Final = "say how it is written with --timestamp-format"


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a column's times are written.

    ``spec`` is "iso", a unit of numbers since the epoch ("s", "ms", "us", "ns"), or a strptime pattern.
    Times without a zone of their own are local to ``zone``; of a time that a clock shows twice in autumn the
    first is meant.
    """

    spec: str = "iso"
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if self.spec != "iso" and self.spec not in NS_PER_UNIT and "%" not in self.spec:
            raise UsageError(
                f"--timestamp-format {self.spec!r} is neither iso, one of {', '.join(NS_PER_UNIT)}, nor a "
                'pattern such as "%d/%m/%Y %H:%M"'
            )


def time_zone(name: str) -> tzinfo:
    """Return the zone of a name such as "Europe/London"."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"--time-zone {name!r} is not a time zone that this machine knows") from None


def parse_times(
    values: Sequence[Any] | NDArray[Any], how: TimeFormat
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return the times in ns, and the reasons why some could not be read, by position (their time is 0).

    Each distinct value is read once, so the cost is that of the different times, not of the rows.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "M":
            if how.zone is not UTC:
                raise UsageError(
                    "--time-zone is for times written as text; this column holds instants already"
                )
            return _from_datetime64(values)
        values = values.tolist()
    readable = [value if isinstance(value, (str, int, float, datetime)) else None for value in values]
    distinct = list(dict.fromkeys(readable))
    parsed = dict(zip(distinct, _parse_distinct(distinct, how), strict=True))
    found = [parsed[value] for value in readable]
    bad = {i: reason for i, reason in enumerate(found) if isinstance(reason, str)}
    if bad:
        found = [0 if isinstance(ns, str) else ns for ns in found]
    return np.array(found, np.int64), bad


def parse_time(text: str) -> int:
    """Return one time in ns; without a zone it is UTC. Raises UsageError.

    >>> parse_time("2011-12-09T12:50+01:00") == parse_time("2011-12-09 11:50:00")
    True
    """
    found = next(iter(_parse_iso([text], UTC)))
    if isinstance(found, str):
        raise UsageError(found.replace(_FORMAT_HINT, 'write it as "2011-12-09 12:50"'))
    return found


def format_time(ns: int) -> str:
    """Return a time as people read it, to the second, with its zone.

    >>> format_time(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{np.datetime64(ns, 'ns').astype('M8[s]').item():%Y-%m-%d %H:%M:%S} UTC"


def iso_time(ns: int) -> str:
    """Return a time for programs: ISO 8601, all nine digits, Z.

    >>> iso_time(1)
    '1970-01-01T00:00:00.000000001Z'
    """
    return f"{np.datetime64(ns, 'ns')}Z"


def _parse_distinct(values: Sequence[Any], how: TimeFormat) -> Iterable[int | str]:
    if how.spec in NS_PER_UNIT:
        scale = NS_PER_UNIT[how.spec]
        return [_from_number(value, scale) for value in values]
    if all(isinstance(value, str) for value in values):
        return _parse_iso(values, how.zone) if how.spec == "iso" else [_parse_pattern(v, how) for v in values]
    return [_from_value(value, how) for value in values]


def _from_value(value: Any, how: TimeFormat) -> int | str:
    if isinstance(value, datetime):
        return _from_datetime(value, how.zone)
    if isinstance(value, str):
        return _parse_pattern(value, how) if how.spec != "iso" else next(iter(_parse_iso([value], how.zone)))
    if value is None:
        return "the time is missing"
    return f"{value!r} is a number; say its unit with --timestamp-format {'|'.join(NS_PER_UNIT)}"


def _from_number(value: Any, scale: int) -> int | str:
    if type(value) is int:
        ns = value * scale
    elif value is None or value == "" or isinstance(value, (bool, datetime)):
        return "the time is missing" if value in (None, "") else f"{value!r} is not a number"
    else:
        try:
            number = Decimal(str(value))
            ns = int(number * scale) if abs(number) <= _INT64_MAX else _INT64_MAX + 1
        except InvalidOperation:
            return f"{value!r} is not a number"
    return ns if abs(ns) <= _INT64_MAX else f"{value!r} is outside the range of 64-bit nanoseconds"


def _parse_iso(texts: Sequence[str], zone: tzinfo) -> list[int | str]:
    """Split off the zones, let NumPy read what is left in one go, then shift."""
    matches = [_ISO.fullmatch(text.strip()) for text in texts]
    readable = [m[1] + m[2] if m and int(m[1]) in _YEARS else "" for m in matches]
    try:
        times = np.array(readable, "M8[ns]")  # an empty text is not-a-time
    except ValueError:  # some day or hour does not exist: find out which
        times = np.array([_lenient(text) for text in readable], "M8[ns]")
    found: list[int | str] = []
    for text, match, ns, missing in zip(
        texts, matches, times.view(np.int64).tolist(), np.isnat(times), strict=True
    ):
        if missing or match is None:
            found.append(_why_not_iso(text, match))
        elif match[3]:
            found.append(ns)
        elif match[4]:
            offset = (int(match[5]) * 60 + int(match[6] or 0)) * 60 * NS_PER_UNIT["s"]
            found.append(ns - offset if match[4] == "+" else ns + offset)
        else:
            found.append(ns if zone is UTC else ns - _offset(ns, zone))
    return found


def _lenient(text: str) -> np.datetime64:
    try:
        return np.datetime64(text, "ns")
    except ValueError:
        return np.datetime64("NaT", "ns")


def _why_not_iso(text: str, match: re.Match[str] | None) -> str:
    if not text.strip():
        return "the time is missing"
    if match and int(match[1]) not in _YEARS:
        return f"{text!r} is outside the range of 64-bit nanoseconds"
    return f"{text!r} is not an ISO 8601 time; {_FORMAT_HINT}"


def _parse_pattern(text: str, how: TimeFormat) -> int | str:
    if not text.strip():
        return "the time is missing"
    try:
        return _from_datetime(datetime.strptime(text, how.spec), how.zone)
    except ValueError:
        return f"{text!r} does not match --timestamp-format {how.spec!r}"


def _from_datetime(value: datetime, zone: tzinfo) -> int | str:
    if value.year not in _YEARS:
        return f"{value.isoformat()!r} is outside the range of 64-bit nanoseconds"
    since = (value if value.tzinfo else value.replace(tzinfo=zone)) - _EPOCH
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * NS_PER_UNIT["us"]


def _from_datetime64(values: NDArray[Any]) -> tuple[NDArray[np.int64], dict[int, str]]:
    years = values.astype("M8[Y]").view(np.int64) + 1970
    bad = {int(i): "the time is missing" for i in np.flatnonzero(np.isnat(values))}
    for i in np.flatnonzero(((years < _YEARS.start) | (years >= _YEARS.stop)) & ~np.isnat(values)):
        bad[int(i)] = f"{str(values[i])!r} is outside the range of 64-bit nanoseconds"
    kept = values.copy()
    kept[list(bad)] = 0
    return kept.astype("M8[ns]").view(np.int64), bad


def _offset(ns: int, zone: tzinfo) -> int:
    """Return how far a zone's clock is ahead of UTC when it shows this time, in ns."""
    shown = _EPOCH.replace(tzinfo=None) + timedelta(microseconds=ns // NS_PER_UNIT["us"])
    offset = shown.replace(tzinfo=zone).utcoffset() or timedelta(0)
    return round(offset.total_seconds()) * NS_PER_UNIT["s"]
