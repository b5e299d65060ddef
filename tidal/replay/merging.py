"""merge(): parts that were replayed by themselves, as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

from tidal.errors import InvalidOption
from tidal.ledger import SignalLedger
from tidal.replay.job import checked_time
from tidal.replay.partial import Partial
from tidal.replay.place import place_of
from tidal.replay.replayed import Replayed
from tidal.replay.tasks import read_partial


def merge(parts: Sequence[str | os.PathLike[str] | Replayed], *, at: Any = None) -> Replayed:
    """Return the state over the events of all parts: results of replay(), or files of Replayed.write().

    The parts may be those of one history (``replay(..., part=(i, n))``), or of several stores. They stay as
    they are. ``at``: what reads take as the present; default: the time of the newest event.

    Raises InvalidOption where no part is given, events would count twice, or parts end at different times,
    SchemaError for parts of several schemas, MissingSegment where a part between two of one store is
    missing, CorruptStore for a damaged file, StorageError.
    """
    if isinstance(parts, str | bytes) or not isinstance(parts, Sequence) or not parts:
        raise InvalidOption(f"parts={parts!r}: give files of Replayed.write(), or results of replay()")
    read = sorted(map(_read, parts), key=lambda it: [astuple(run) for run in it.account.covered])
    first, *others = read
    ledger = SignalLedger(first.schema)
    first.load_into(ledger)
    name = f"{len(parts)} part{'s' * (len(parts) > 1)}"
    whole = Replayed(ledger, replace(first, meta={}, arrays={}), name, checked_time("at", at))
    for part in others:
        whole.add(part)
    whole.check_whole()
    return whole


def _read(part: object) -> Partial:
    if isinstance(part, Replayed):
        return part.as_partial()
    place = place_of("parts", part)
    return read_partial(place.open(), place.folder)
