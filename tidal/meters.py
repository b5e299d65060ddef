"""What a database counts and times of itself; and it says so in its log where something took long."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tidal._ext.meter import Meter
from tidal.errors import InvalidEvent, LimitExceeded, NoSpace, StorageError, StoreClosed, StorePoisoned

_NS: Final = 1e9

SYNC: Final = "sync"  # the device made the log's newest bytes durable
INGEST: Final = "ingest"  # a call of ingest(), until its events are as durable as the policy says
SIGNAL: Final = "signal"  # a call of signal() that waited for the log
COPY: Final = "copy"  # of the state, for a checkpoint: ingest waits for it
CHECKPOINT: Final = "checkpoint"  # written, synced, read back and verified
ARCHIVE: Final = "archive"  # one run over all that could be archived
RECOVERY: Final = "recovery"  # a store's files became its state

SLOW_SECONDS: Final[Mapping[str, float]] = {
    SYNC: 1.0, INGEST: 5.0, SIGNAL: 5.0, COPY: 1.0, CHECKPOINT: 60.0, ARCHIVE: 300.0, RECOVERY: 60.0,
}  # fmt: skip
# Reads of many entities. Not score() and count(), which would take three quarters longer.
TIMED_READS: Final = ("scores", "counts", "velocities", "top", "rank", "read")
SELDOM: Final = (CHECKPOINT, ARCHIVE, RECOVERY)  # each is worth a line of the log

REFUSALS: Final[Mapping[str, type[BaseException]]] = {
    "invalid": InvalidEvent,
    "limit": LimitExceeded,
    "no_space": NoSpace,
    "poisoned": StorePoisoned,
    "closed": StoreClosed,
    "storage": StorageError,
}
OTHER_REFUSAL: Final = "other"

_logger = logging.getLogger(__name__)


class Meters:
    """Counters and times of one database. Safe to share by threads.

    ``seconds`` has a meter of ns for each operation in SLOW_SECONDS, ``reads`` one for each timed read.
    """

    def __init__(self, store: str = "memory", *, slow_seconds: Mapping[str, float] = SLOW_SECONDS) -> None:
        self.store = store  # the name of its folder, for the log
        self.seconds = {operation: Meter() for operation in SLOW_SECONDS}
        self.last_seconds: dict[str, float] = {}  # of the newest of each operation in SELDOM
        self.reads: dict[str, Meter] = {}
        self.batch_events = Meter()  # of each call of ingest()
        self.failures = Counter(dict.fromkeys(SLOW_SECONDS, 0))
        self.archived_events = 0
        self.no_space: str | None = None  # what the log was refused, until something is written again
        self.refused_rows = 0  # left out by on_error="skip"
        self.refused_calls = Counter({**dict.fromkeys(REFUSALS, 0), OTHER_REFUSAL: 0})
        self._slow_seconds = {**SLOW_SECONDS, **slow_seconds}
        self._told_of_poison = False
        self._lock = threading.Lock()  # of the plain integers

    def took(self, operation: str, seconds: float, **fields: Any) -> None:
        """Note how long an operation took; one that took long is in the log, with ``fields``."""
        self.seconds[operation].observe(round(seconds * _NS))
        if operation in SELDOM:
            self.last_seconds[operation] = seconds
        if self.no_space is not None and operation in (SYNC, INGEST, SIGNAL):
            self.no_space = None
        if seconds >= (limit := self._slow_seconds[operation]):
            about = said("slow", store=self.store, operation=operation, seconds=seconds, **fields)
            _logger.warning("%s took %.3f s; from %g s on it is slow", operation, seconds, limit, extra=about)
        elif operation in SELDOM:
            about = said("done", store=self.store, operation=operation, seconds=seconds, **fields)
            _logger.info("%s took %.3f s", operation, seconds, extra=about)

    @contextlib.contextmanager
    def timed(self, operation: str, clock: Callable[[], float], **fields: Any) -> Iterator[dict[str, Any]]:
        """A block that is one operation; it may add fields to the dict that it gets. One that raises counts
        as failed, and has no time.
        """
        began = clock()
        try:
            yield fields
        except Exception:
            with self._lock:
                self.failures[operation] += 1
            raise
        self.took(operation, clock() - began, **fields)

    def ingested(self, events: int, refused_rows: int, seconds: float) -> None:
        """Note a call of ingest() that recorded ``events``, duplicates among them."""
        self.batch_events.observe(events)
        if refused_rows:
            with self._lock:
                self.refused_rows += refused_rows
        self.took(INGEST, seconds, events=events)

    def refused(self, error: Exception) -> None:
        """Note that a call which writes was refused."""
        if isinstance(error, NoSpace):
            self.no_space = str(error)
        if isinstance(error, StorePoisoned) and not self._told_of_poison:
            self._told_of_poison = True
            about = said("poisoned", store=self.store)
            _logger.error("nothing more is recorded until the store is opened anew: %s", error, extra=about)
        kinds = (reason for reason, kind in REFUSALS.items() if isinstance(error, kind))
        with self._lock:
            self.refused_calls[next(kinds, OTHER_REFUSAL)] += 1


def said(event: str, **fields: Any) -> dict[str, Any]:
    """Return ``extra=`` for a log record: its fields are the dict ``record.tidal`` (docs/ops/logging.md)."""
    return {"tidal": {"event": event, **fields}}


def failed(store: str, operation: str, error: Exception, **fields: Any) -> dict[str, Any]:
    """Return ``extra=`` for the record of an operation that failed."""
    return said("failed", store=store, operation=operation, error_type=type(error).__name__, **fields)
