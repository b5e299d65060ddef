"""What a database is made with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidal.archive.retention import Retention
from tidal.dedup import Dedup
from tidal.durable import FileSystem, Lock
from tidal.format.segment import LogIdentity
from tidal.limits import Limits
from tidal.materializer import Materializer
from tidal.recovery import RecoveryReport
from tidal.store import StorePaths


@dataclass(frozen=True, slots=True)
class Settings:
    """What open() was told and a database keeps."""

    wall_clock: Callable[[], int]
    event_clock: bool
    max_future_skew_ns: int | None
    checkpoint_bytes: int | None
    materializers: Mapping[str, Materializer]
    dedup: Dedup | None = None
    limits: Limits = field(default_factory=Limits)
    archive: bool = True  # after each checkpoint that was due
    retention: Retention = field(default_factory=Retention)
    monotonic: Callable[[], float] = time.monotonic

    @property
    def now_is_system_time(self) -> bool:
        """Whether the present is what the system's clock says, as compiled code reads it."""
        return self.wall_clock is time.time_ns and not self.event_clock


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What a database has beyond one in memory."""

    fs: FileSystem
    paths: StorePaths
    identity: LogIdentity
    lock: Lock | None  # None: read only
    report: RecoveryReport
    refresh: Callable[[Any], int] | None = None  # of a database that only reads: brings it up to date
