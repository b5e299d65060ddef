"""How a database is: what is seen of its parts, judged."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from tidal.db.recorder import Recorder
from tidal.db.settings import OnDisk, Settings
from tidal.db.upkeep import Upkeep
from tidal.errors import StorageError, TidalError
from tidal.health import Health, HealthWatch, Vitals
from tidal.ledger import SignalLedger
from tidal.limits import state_bytes
from tidal.links import Links
from tidal.log import Log
from tidal.meters import CHECKPOINT, said
from tidal.schema.durations import NS_PER_SECOND
from tidal.wal.segments import list_segments
from tidal.wal.writer import SEGMENT_BYTES_DEFAULT

_logger = logging.getLogger(__name__)


class Parts(Protocol):
    """The parts of a database, which may get others in their place."""

    @property
    def _disk(self) -> OnDisk | None: ...
    @property
    def _recorder(self) -> Recorder: ...
    @property
    def _upkeep(self) -> Upkeep: ...
    @property
    def _ledger(self) -> SignalLedger: ...
    @property
    def _log(self) -> Log: ...
    @property
    def _links(self) -> Links: ...
    @property
    def _refresh_error(self) -> Exception | None: ...


class Watch:
    """Looks at the parts of a database. Safe to share by threads."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings, self._parts = settings, parts
        self._began = settings.monotonic()
        self._health = HealthWatch(settings.health)
        self._lock = threading.Lock()
        self._told: list[str] = []  # the reasons that the log was told last

    @property
    def uptime(self) -> float:
        """The seconds since the database was opened, of a clock that never jumps."""
        return self._settings.monotonic() - self._began

    @property
    def checkpoint_seconds(self) -> tuple[float | None, float | None]:
        """How many ago the newest checkpoint was written, None without one; and how many that took, None
        where another process wrote it.
        """
        return self._parts._upkeep.checkpoint_age, self._settings.meters.last_seconds.get(CHECKPOINT)

    def disk(self) -> dict[str, int | None]:
        """Return how many files the log has, and how many bytes are free beside it; empty in memory.
        StorageError where its folder cannot be read.
        """
        if (disk := self._parts._disk) is None:
            return {}
        segments = len(list_segments(disk.fs, disk.paths.wal, *disk.place))
        return {"segments": segments, "free": self._free_bytes()}

    def health(self) -> Health:
        """Return whether the database is well. Reads a few bytes of its folder, and waits for nothing."""
        with self._lock:
            health = self._health.judge(self._look())
            before, self._told = self._told, [reason.code for reason in health.reasons]
        if self._told != before:
            about = said("health", store=self._settings.meters.store, ok=health.ok, reasons=self._told)
            level = logging.INFO if health.ok else logging.WARNING
            _logger.log(level, "the database is %s", _words(health), extra=about)
        return health

    def _look(self) -> Vitals:
        settings, parts = self._settings, self._parts
        ledger, log, upkeep, recorder = parts._ledger, parts._log, parts._upkeep, parts._recorder
        here = settings.wall_clock is time.time_ns
        writing = parts._disk is not None and parts._disk.lock is not None
        failure = recorder.failure or log.error
        return Vitals(
            uptime=round(self.uptime * NS_PER_SECOND),
            wall_clock=time.time_ns() if here else None,
            newest_event=ledger.newest(),
            future_skew=settings.max_future_skew_ns,
            last_seq=log.last_seq,
            failure=None if failure is None else str(failure),
            fenced=None if recorder.fenced is None else str(recorder.fenced),
            no_space=self._no_space(log) if writing else None,
            free_bytes=self._free_bytes() if writing else None,
            needed_bytes=state_bytes(ledger) + SEGMENT_BYTES_DEFAULT,
            checkpoint_error=shown(upkeep.checkpoint_error),
            archive_error=shown(upkeep.archive_error),
            refresh_error=shown(parts._refresh_error),
            unsaved_bytes=upkeep.unsaved_bytes,
            unsaved_ns=round(upkeep.unsaved_seconds * NS_PER_SECOND),
            checkpoint_bytes=settings.checkpoint_bytes if writing else None,
            marks=self._marks() if writing else None,
            links=parts._links.seen(),
        )

    def _no_space(self, log: Log) -> str | None:
        if not log.ready:
            return "the store was opened, and cannot be made ready for writing until there is space"
        return self._settings.meters.no_space

    def _free_bytes(self) -> int | None:
        if (disk := self._parts._disk) is None:
            return None
        try:
            return disk.fs.free_bytes(disk.paths.base)
        except StorageError:  # what is written there next says more
            return None

    def _marks(self) -> dict[str, int] | None:
        try:
            marks = self._parts._upkeep.marks
            return None if marks is None else marks.all()
        except TidalError:  # archiving reads them too, and says what is wrong with them
            return None


def _words(health: Health) -> str:
    return "well again" if health.ok else "unwell: " + "; ".join(map(str, health.reasons))


def shown(error: Exception | None) -> str | None:
    """Return the kind and text of an error, None where there is none."""
    return None if error is None else f"{type(error).__name__}: {error}"
