"""How long archived events are kept: for ever, to an age, or up to a size."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from tidal.errors import InvalidDuration, InvalidRetention
from tidal.format.archive_manifest import ArchivedFile, ArchiveManifest
from tidal.records import record
from tidal.schema.durations import parse_duration

FOREVER: Final = "forever"

Retain = str | int | timedelta

_UNITS: Final = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})", re.ASCII)


@record
class Retention:
    """What is kept of an archive: events younger than ``age_ns``, ``size`` bytes of files, or all."""

    age_ns: int | None = None
    size: int | None = None

    def retired(self, manifest: ArchiveManifest, now: int, limit: int) -> tuple[ArchivedFile, ...]:
        """Return the files that may go, oldest first; none with an event above the sequence ``limit``.

        A file is as old as its newest event. ``now``: ns since the epoch.
        """
        gone = []
        size = manifest.size
        for file in manifest.files:
            too_old = self.age_ns is not None and file.max_time < now - self.age_ns
            too_much = self.size is not None and size > self.size
            if not (too_old or too_much) or file.last_seq > limit:
                break
            gone.append(file)
            size -= file.size
        return tuple(gone)


def parse_retain(value: Retain) -> Retention:
    """Return what ``retain=`` says: "forever", an age ("90d", a timedelta) or a size ("10GiB", bytes).

    InvalidRetention for anything else.

    >>> parse_retain("10GiB").size == 10 * 2**30
    True
    >>> parse_retain("forever")
    Retention(age_ns=None, size=None)
    """
    if isinstance(value, str) and value == FOREVER:
        return Retention()
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Retention(size=value)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        whole, _, fraction = match[1].partition(".")
        return Retention(size=int(whole + fraction) * _UNITS[match[2]] // 10 ** len(fraction))
    try:
        if isinstance(value, str | timedelta):
            return Retention(age_ns=parse_duration(value))
    except InvalidDuration:
        pass
    raise InvalidRetention(
        f'retain={value!r} is not known; use "forever", an age ("90d", a timedelta), or a size ("10GiB", '
        "or a number of bytes)"
    )
