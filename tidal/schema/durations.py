"""Durations as people write them: "7d", "1h", "30m", a timedelta; in ns inside."""

from __future__ import annotations

import re
from datetime import timedelta

from tidal.errors import InvalidDuration

NS_PER_SECOND = 1_000_000_000

_UNITS = {"ms": 1_000_000, "s": NS_PER_SECOND, "m": 60 * NS_PER_SECOND, "h": 3600 * NS_PER_SECOND,
          "d": 86400 * NS_PER_SECOND, "w": 7 * 86400 * NS_PER_SECOND}  # fmt: skip
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])")

Duration = str | timedelta


def parse_duration(value: Duration) -> int:
    """Return a duration in ns.

    >>> parse_duration("1h") == parse_duration(timedelta(minutes=60)) == 3600 * 10**9
    True
    """
    if isinstance(value, timedelta):
        ns = (value.days * 86400 + value.seconds) * NS_PER_SECOND + value.microseconds * 1000
    elif isinstance(value, str) and (match := _TEXT.fullmatch(value.strip())):
        whole, _, fraction = match[1].partition(".")
        unit = _UNITS[match[2]]
        ns = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    else:
        raise InvalidDuration(
            f'{value!r} is not a duration; write "7d", "1h", "30m", "90s", "250ms" or a timedelta'
        )
    if ns <= 0:
        raise InvalidDuration(f"{value!r} is not longer than nothing; write a positive duration")
    return ns


def format_duration(ns: int) -> str:
    """Return the shortest text that parse_duration reads back: 604800 s is "7d".

    >>> format_duration(parse_duration("36h"))
    '36h'
    """
    for unit in ("d", "h", "m", "s", "ms"):
        if ns % _UNITS[unit] == 0:
            return f"{ns // _UNITS[unit]}{unit}"
    return f"{ns / _UNITS['ms']:.6f}".rstrip("0").rstrip(".") + "ms"
