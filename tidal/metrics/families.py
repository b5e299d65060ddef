"""What a database counts, as families of metrics; in plain values, for whoever writes them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from tidal._ext.meter import Meter
from tidal.build import __version__, build_hash
from tidal.db import TidalDb
from tidal.errors import StoreClosed, TidalError
from tidal.health import REASONS
from tidal.limits import BYTES_OF_STATE
from tidal.meters import ARCHIVE, CHECKPOINT, COPY, INGEST, SIGNAL, SYNC
from tidal.metrics.family import Family, Values, events_histogram, seconds_histogram
from tidal.metrics.linked import exchanging, following, ingesting, shipping
from tidal.wal.segments import list_segments

JOB_STATUSES: Final = ("queued", "running", "done", "failed", "cancelled")

Section = Callable[[TidalDb], Iterator[Family]]


def families(db: TidalDb) -> Iterator[Family]:
    """Yield all that is known of a database now. StoreClosed once it is closed.

    What of its folder cannot be read is left out, and counted in ``tidaldb_scrape_errors``.
    """
    yield Family.gauge("info", "Which tidal this is; always 1.", ("version", "build_hash"),
                       {(__version__, build_hash()): 1})  # fmt: skip
    errors = 0
    for section in _SECTIONS:
        try:
            yield from list(section(db))
        except StoreClosed:
            raise
        except TidalError:
            errors += 1
    yield Family.gauge("scrape_errors", "Groups of metrics that could not be read this time.", value=errors)


def _life(db: TidalDb) -> Iterator[Family]:
    health = db.health()
    found = {reason.code for reason in health.reasons}
    yield Family.gauge("uptime_seconds", "Seconds since the database was opened.", value=db._watch.uptime)
    yield Family.gauge("health_ok", "Whether the database is well: 1 or 0.", value=int(health.ok))
    yield Family.gauge("health_reason", "1 for each reason for which the database is not well.", ("reason",),
                       {(code,): int(code in found) for code in REASONS})  # fmt: skip


def _log(db: TidalDb) -> Iterator[Family]:
    log = db._log
    yield Family.gauge("log_sequence", "Sequence of the newest event.", value=log.last_seq)
    yield Family.gauge("log_durable_sequence", "Newest sequence that a power cut does not take.",
                       value=log.durable_seq)  # fmt: skip
    yield Family.gauge("log_unsynced_bytes", "Bytes of the log that no sync has reached.",
                       value=log.unsynced_bytes)  # fmt: skip
    yield Family.counter("log_written_bytes_total", "Bytes written to the log.", value=log.bytes_written)
    yield seconds_histogram("log_sync_seconds", "Time in which the disk made the newest of the log durable.",
                            db._meters.seconds[SYNC])  # fmt: skip
    if (disk := db._disk) is not None:
        segments = len(list_segments(disk.fs, disk.paths.wal, *disk.place))
        yield Family.gauge("log_segments", "Files of the log.", value=segments)


def _disk(db: TidalDb) -> Iterator[Family]:
    if (disk := db._disk) is not None:
        found = db.disk_usage()
        usage: Values = {(part,): size for part, size in found.items() if part != "total"}
        yield Family.gauge("disk_bytes", "Bytes of the store's files, by what they are.", ("part",), usage)
        yield Family.gauge("disk_free_bytes", "Bytes free on the disk that the store is on.",
                           value=disk.fs.free_bytes(disk.paths.base))  # fmt: skip


def _writes(db: TidalDb) -> Iterator[Family]:
    meters, signals = db._meters, db._ledger.stats()
    for name, what in (("events", "Events recorded"), ("late", "Events of a minute before an earlier one's")):
        family = "events_total" if name == "events" else "late_events_total"
        yield Family.counter(family, f"{what}, by signal type.", ("signal",),
                             {(signal,): found[name] for signal, found in signals.items()})  # fmt: skip
    seen = db._recorder.seen
    yield Family.counter("duplicate_events_total", "Events dropped because they were there already.",
                         value=0 if seen is None else seen.duplicates)  # fmt: skip
    yield Family.counter(
        "refused_events_total", 'Rows left out by on_error="skip".', value=meters.refused_rows
    )
    yield Family.counter("refused_calls_total", "Calls of signal() and ingest() that raised, by reason.",
                         ("reason",), {(why,): n for why, n in meters.refused_calls.items()})  # fmt: skip
    yield seconds_histogram("ingest_seconds", "Time of a call of ingest(), until it returned.",
                            meters.seconds[INGEST])  # fmt: skip
    yield events_histogram("ingest_batch_events", "Events of a call of ingest().", meters.batch_events)
    yield seconds_histogram("signal_seconds", "Time of a call of signal() that waited for the log.",
                            meters.seconds[SIGNAL])  # fmt: skip


def _reads(db: TidalDb) -> Iterator[Family]:
    timed: Mapping[str, Meter] = db._meters.reads
    yield seconds_histogram("read_seconds", "Time of a read of many entities, by method.", timed, "call")


def _state(db: TidalDb) -> Iterator[Family]:
    stats = db._ledger.stats()
    yield Family.gauge("entities", "Entities with events, by signal type.", ("signal", "kind"),
                       {(it.name, it.kind): stats[it.name]["entities"] for it in db.schema})  # fmt: skip
    yield Family.gauge("memory_bytes", "Bytes of the state in memory, by signal type and part.",
                       ("signal", "part"),
                       {(signal, part.removesuffix("_bytes")): found[part]
                        for signal, found in stats.items() for part in BYTES_OF_STATE})  # fmt: skip
    if (seen := db._recorder.seen) is not None:
        found = seen.stats()
        yield Family.gauge("dedup_keys", "Events that deduplication remembers.", value=found["remembered"])
        yield Family.gauge("dedup_memory_bytes", "Bytes that deduplication takes.", value=found["bytes"])
    opened, remembered = db._session_state.counts()
    yield Family.gauge("sessions", "Sessions, by state.", ("state",),
                       {("open",): opened, ("remembered",): remembered})  # fmt: skip


def _checkpoints(db: TidalDb) -> Iterator[Family]:
    if db._disk is None:
        return
    upkeep, meters = db._upkeep, db._meters
    due = db._settings.checkpoint_bytes
    yield Family.gauge("checkpoint_sequence", "Sequence of the newest checkpoint; 0 without any.",
                       value=upkeep.checkpoint_seq)  # fmt: skip
    age = upkeep.unsaved_seconds if upkeep.checkpoint_age is None else upkeep.checkpoint_age
    yield Family.gauge("checkpoint_age_seconds",
                       "Seconds since the newest checkpoint was written; without one, since opening.",
                       value=age)  # fmt: skip
    yield Family.gauge("checkpoint_unsaved_bytes", "Bytes logged since the newest checkpoint was begun.",
                       value=upkeep.unsaved_bytes)  # fmt: skip
    if due is not None:
        yield Family.gauge("checkpoint_due_bytes", "Bytes logged between two checkpoints, as set.",
                           value=due)  # fmt: skip
    yield seconds_histogram("checkpoint_seconds", "Time to write and verify a checkpoint.",
                            meters.seconds[CHECKPOINT])  # fmt: skip
    yield seconds_histogram("checkpoint_copy_seconds", "Time for which ingest waits for a checkpoint.",
                            meters.seconds[COPY])  # fmt: skip
    yield Family.counter("checkpoint_failures_total", "Checkpoints that failed.",
                         value=meters.failures[CHECKPOINT] + meters.failures[COPY])  # fmt: skip
    yield seconds_histogram("archive_seconds", "Time of a run of archiving.", meters.seconds[ARCHIVE])
    yield Family.counter("archive_failures_total", "Runs of archiving that failed.",
                         value=meters.failures[ARCHIVE])  # fmt: skip
    yield Family.counter("archived_events_total", "Events moved from the log to the archive.",
                         value=meters.archived_events)  # fmt: skip


def _recovery(db: TidalDb) -> Iterator[Family]:
    if db._disk is None or (report := db.recovery) is None:
        return
    yield Family.gauge("recovery_seconds", "Time in which the store was opened.",
                       value=db._disk.recovery_seconds)  # fmt: skip
    yield Family.gauge("recovery_replayed_events", "Events replayed when the store was opened.",
                       value=report.replayed_events)  # fmt: skip
    yield Family.gauge("recovery_torn", "Whether the log had an end that a crash left unfinished: 1 or 0.",
                       value=int(report.torn is not None))  # fmt: skip
    yield Family.gauge("recovery_clean", "Whether nothing was damaged, torn or missing: 1 or 0.",
                       value=int(report.clean))  # fmt: skip


def _marks(db: TidalDb) -> Iterator[Family]:
    if db._disk is None:
        return
    marks, last = db.marks.all(), db.last_seq
    yield Family.gauge("follower_sequence", "Sequence up to which a named mark is.", ("follower",),
                       {(name,): seq for name, seq in marks.items()})  # fmt: skip
    yield Family.gauge("follower_lag_events", "Events that a named mark has not yet.", ("follower",),
                       {(name,): max(0, last - seq) for name, seq in marks.items()})  # fmt: skip


def _jobs(db: TidalDb) -> Iterator[Family]:
    if db._disk is not None:
        found = [job.status.value for job in db._known_jobs()]
        yield Family.gauge("jobs", "Export jobs, by status.", ("status",),
                           {(status,): found.count(status) for status in JOB_STATUSES})  # fmt: skip


_SECTIONS: Final[Iterable[Section]] = (
    _life, _log, _disk, _writes, _reads, _state, _checkpoints, _recovery, _marks, _jobs,
    following, shipping, exchanging, ingesting,
)  # fmt: skip
