"""Opening a small store: segments of a few kilobytes, so that rolling and checkpoints happen all the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import tidal
from faultkit.events import SCHEMA
from tidal.opening import Wiring, arguments

SEGMENT_BYTES = 4096
POLICIES = ("group", "always", "interval:2ms", "os", "buffered:2ms")


def open_store(path: Path, *, wiring: dict[str, Any] | None = None, **options: Any) -> tidal.TidalDb:
    """tidal.open() with the schema of the fault tests, small segments and one shard.

    ``wiring`` replaces further parts; tidal.open() itself has no option for those, which only tests need.
    """
    given: dict[str, Any] = {"clock": "event", "shards": 1, "checkpoint_bytes": None} | options
    if not given.get("read_only"):
        given.setdefault("schema", SCHEMA)
    parts = {"segment_bytes": SEGMENT_BYTES} | (wiring or {})
    with mock.patch.object(arguments, "Wiring", lambda *given, **more: Wiring(*given, **more, **parts)):
        return tidal.open(path, **given)
