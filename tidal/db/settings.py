"""What a database is made with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from tidal.archive.retention import Retention
from tidal.dedup import Dedup
from tidal.durable import FileSystem, Lock
from tidal.format.segment import LogIdentity
from tidal.health import HealthLimits
from tidal.limits import Limits
from tidal.materializer import Materializer
from tidal.meters import Meters
from tidal.records import record
from tidal.recovery import RecoveryReport
from tidal.sessions import SessionLimits
from tidal.store import StorePaths

if TYPE_CHECKING:
    from tidal.jobs import JobLimits


@record
class Settings:
    """What open() was told and a database keeps."""

    wall_clock: Callable[[], int]
    event_clock: bool
    max_future_skew_ns: int | None
    checkpoint_bytes: int | None
    materializers: Mapping[str, Materializer]
    dedup: Dedup | None = None
    limits: Limits = field(default_factory=Limits)
    sessions: SessionLimits = field(default_factory=SessionLimits)
    archive: bool = True  # after each checkpoint that was due
    retention: Retention = field(default_factory=Retention)
    jobs: JobLimits | None = None
    health: HealthLimits = field(default_factory=HealthLimits)
    meters: Meters = field(default_factory=Meters)  # what it counts of itself
    monotonic: Callable[[], float] = time.monotonic

    @property
    def now_is_system_time(self) -> bool:
        """Whether the present is what the system's clock says, as compiled code reads it."""
        return self.wall_clock is time.time_ns and not self.event_clock


@record
class OnDisk:
    """What a database has beyond one in memory."""

    fs: FileSystem
    paths: StorePaths
    identity: LogIdentity
    lock: Lock | None  # None: read only
    report: RecoveryReport
    refresh: Callable[[Any], int] | None = None  # of a database that only reads: brings it up to date
    log_end: tuple[int, bytes] = (0, bytes(32))  # the last sequence when it was opened, and the hash there
    recovery_seconds: float = 0.0  # in which its files became its state

    @property
    def place(self) -> tuple[int, int]:
        """Region and shard."""
        return self.identity.region, self.identity.shard
