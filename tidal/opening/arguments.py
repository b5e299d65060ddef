"""The arguments of open(): checked, and given defaults."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

import numpy as np

from tidal.archive.retention import FOREVER, Retain, parse_retain
from tidal.db import Settings, TidalDb
from tidal.dedup import KEY_BYTES, Dedup, SeenEvents, parse_dedup
from tidal.durable import FileSystem, OsFileSystem
from tidal.entities import KeyNames
from tidal.errors import CorruptionError, InvalidOption, MissingSegment, ReadOnly, SchemaError
from tidal.format.segment import checked_place_number
from tidal.health import Health, HealthLimits
from tidal.ledger import SHARDS_DEFAULT, SHARDS_MAX, SignalLedger
from tidal.limits import Limits
from tidal.log import MemoryLog
from tidal.materializer import Materializer
from tidal.opening.options import Recovery, StoreOptions, Wiring
from tidal.opening.stored import open_store
from tidal.schema import Duration, Schema, SchemaBuilder, parse_duration
from tidal.sessions import SessionLimits, SessionState
from tidal.storage import MemoryEngine, StorageEngine
from tidal.store import StorePaths
from tidal.wal import SyncPolicy, parse_sync

if TYPE_CHECKING:
    from tidal.jobs import JobLimits
    from tidal.metrics import Metrics

_Db = TypeVar("_Db", bound="Served")

Clock = Literal["system", "event"] | Callable[[], int]

CHECKPOINT_BYTES_DEFAULT: Final = 64 << 20


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    schema: Schema | None = None,
    sync: str | SyncPolicy = "group",
    clock: Clock = "system",
    max_future_skew: Duration | None = "10m",
    shards: int = SHARDS_DEFAULT,
    materializers: Mapping[str, Materializer] | None = None,
    checkpoint_bytes: int | None = CHECKPOINT_BYTES_DEFAULT,
    dedup: str | Dedup | None = None,
    limits: Limits | None = None,
    sessions: SessionLimits | None = None,
    archive: bool = True,
    retain: Retain = FOREVER,
    jobs: JobLimits | None = None,
    health: HealthLimits | None = None,
    metrics: str | Metrics | None = None,
    read_only: bool = False,
    recovery: Recovery = "strict",
    region: int | None = None,
    shard: int | None = None,
    file_system: FileSystem | None = None,
) -> TidalDb:
    """Return a database: durable in the folder ``path``, or in memory without one.

    - ``schema``: needed for a new store and in memory. An existing store knows its schema; a given one may
      add signal types, and is refused (SchemaMismatch) for any other difference.
    - ``sync``: when an event is acknowledged: ``"group"`` (synced to disk, the default), ``"always"``,
      ``"interval:50ms"``, ``"os"``, ``"buffered:5ms"``; see tidal.SyncPolicy for what each may lose.
    - ``clock``: what "now" is: ``"system"`` the wall clock, ``"event"`` the newest event time (for history),
      or a function returning ns since the epoch.
    - ``max_future_skew``: how far an event may lie ahead of the wall clock; None: any distance.
    - ``shards``: parts of each signal type's state that threads may change at once.
    - ``materializers``: further state derived from the log, by name; see tidal.Materializer.
    - ``checkpoint_bytes``: log written between two checkpoints; None: only by ``checkpoint()`` and at close.
    - ``dedup``: drop and count duplicates: ``"event_id"``, ``"content"`` or a tidal.Dedup, which says how.
    - ``limits``: what the database may take before calls raise LimitExceeded; a tidal.Limits.
    - ``sessions``: how long sessions live, and what may be done in them; a tidal.SessionLimits.
    - ``archive``: after each checkpoint that was due, move what the log needs no longer to the archive.
    - ``retain``: how much of the archive is kept: ``"forever"``, an age (``"90d"``) or a size (``"10GiB"``).
    - ``jobs``: what the export jobs of ``db.jobs`` may take; a tidal.JobLimits.
    - ``health``: from when on ``db.health()`` says that the database is unwell; a tidal.HealthLimits.
    - ``metrics``: where a thread serves ``/metrics`` for Prometheus and ``/healthz`` until the database is
      closed: ``"127.0.0.1:9464"``, with port 0 any that is free (``db.metrics_address``). Needs the extra
      ``metrics``. Beyond this machine only with tidal.Metrics(..., remote=True).
    - ``read_only``: see what the log holds now; no byte is changed, no lock taken, writes raise ReadOnly, and
      ``refresh()`` takes in what another process has written since.
    - ``recovery``: ``"strict"`` cuts off what a crash left unfinished at the log's end (``db.recovery`` says
      what, ``quarantine/`` keeps it); ``"absolute"`` refuses that too, as CorruptLog.
    - ``region``, ``shard``: which of several stores a new one is, by numbers from 0 to 65,535 that its log
      carries; 0 and 0 by default. An existing store knows, and is refused if it is another.
    - ``file_system``: what all files are reached through; the machine's own by default.

    On a full disk a store is opened too, and can be read: ``db.recovery.notes`` says so, and each write tries
    again to make it ready, raising NoSpace until there is space. Nothing else is changed before all that is
    needed was found good.

    Raises StoreLocked, StoreMissing, CorruptLog, CorruptCheckpoint, CorruptStore, MissingSegment,
    FormatTooNew, SchemaError, StorageError; in each case the store is as it was.

    >>> import tidal
    >>> schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
    >>> with tidal.open(schema=schema) as db:
    ...     db.signal("view", 42)
    ...     db.count("view", 42, "1h")
    1
    1
    """
    check_schema(schema)
    read_only = _checked_flag("read_only", read_only)
    options = StoreOptions(
        schema,
        _checked_sync(sync),
        shards,
        read_only,
        _checked_recovery(recovery),
        check_number("region", region),
        check_number("shard", shard),
    )
    settings = checked_settings(
        clock=clock,
        max_future_skew=max_future_skew,
        materializers=materializers,
        checkpoint_bytes=checkpoint_bytes,
        dedup=dedup,
        limits=limits,
        sessions=sessions,
        archive=archive,
        retain=retain,
        jobs=jobs,
        health=health,
    )
    check_shards(shards)
    return open_served(metrics, lambda: _open(path, options, settings, file_system), alone)


def checked_settings(
    *,
    clock: Clock = "system",
    max_future_skew: Duration | None = "10m",
    materializers: Mapping[str, Materializer] | None = None,
    checkpoint_bytes: int | None = CHECKPOINT_BYTES_DEFAULT,
    dedup: str | Dedup | None = None,
    limits: Limits | None = None,
    sessions: SessionLimits | None = None,
    archive: bool = True,
    retain: Retain = FOREVER,
    jobs: JobLimits | None = None,
    health: HealthLimits | None = None,
) -> Settings:
    """Return what open() was told and a database keeps; errors as open()."""
    return Settings(
        wall_clock=_wall_clock(clock),
        event_clock=clock == "event",
        max_future_skew_ns=None if max_future_skew is None else parse_duration(max_future_skew),
        checkpoint_bytes=_checked_bytes(checkpoint_bytes),
        materializers=_checked_materializers(materializers),
        dedup=parse_dedup(dedup),
        limits=_checked_limits(limits),
        sessions=_checked_sessions(sessions),
        archive=_checked_flag("archive", archive),
        retention=parse_retain(retain),
        jobs=_checked_jobs(jobs),
        health=_checked_health(health),
    )


def check_number(name: str, number: object) -> int | None:
    """Return the number of a region or shard, or None; InvalidOption for what is none."""
    return None if number is None else checked_place_number(f"{name}={number!r}", number)


def check_shards(shards: object) -> None:
    """Raise InvalidOption for what is no number of shards."""
    if type(shards) is not int or not 1 <= shards <= SHARDS_MAX:
        raise InvalidOption(f"shards={shards!r}: choose an integer from 1 to {SHARDS_MAX}")


def _open(
    path: str | os.PathLike[str] | None,
    options: StoreOptions,
    settings: Settings,
    file_system: FileSystem | None,
) -> TidalDb:
    schema, shards, read_only = options.schema, options.shards, options.read_only
    if path is None:
        if schema is None:
            raise SchemaError("a database in memory needs schema=; build one with tidal.SchemaBuilder()")
        if read_only:
            raise ReadOnly("a database in memory that only reads could never hold anything; give a path")
        engine: StorageEngine = MemoryEngine()
        ledger = SignalLedger(schema, shards=shards)
        seen = None if settings.dedup is None else SeenEvents(settings.dedup, os.urandom(KEY_BYTES))
        held = SessionState(settings.sessions.closed, settings.sessions.retention_ns)
        return TidalDb(schema, ledger, held, MemoryLog(), engine, KeyNames(engine), settings, seen=seen)
    paths = StorePaths(checked_folder("path", path, "; None for memory"))
    settings.meters.store = paths.base.name
    with advice_on_damage(paths.base):
        return open_store(paths, options, settings, Wiring(file_system or OsFileSystem(any_owner=read_only)))


class Served(Protocol):
    """What a metrics port answers for."""

    def health(self) -> Health: ...
    def close(self) -> None: ...


def alone(db: TidalDb) -> Mapping[int, TidalDb]:
    """Return a store by the number of the shard that it is."""
    return {0 if db._disk is None else db._disk.identity.shard: db}


def open_served(
    metrics: str | Metrics | None, open_it: Callable[[], _Db], shards: Callable[[_Db], Mapping[int, TidalDb]]
) -> _Db:
    """Return a database that its metrics port answers for, if one is wanted. Who asks it meanwhile, waits.
    ``shards`` says which stores it is.
    """
    if metrics is None:
        return open_it()
    from tidal.metrics import checked_metrics, listen

    with contextlib.ExitStack() as undo:
        port = listen(checked_metrics(metrics))
        undo.callback(port.close)
        db = open_it()
        undo.callback(db.close)
        stores = shards(db)
        port.serve(stores, db.health)
        for store in stores.values():
            store._run_beside(port)
        undo.pop_all()
        return db


@contextlib.contextmanager
def advice_on_damage(folder: Path) -> Iterator[None]:
    """A block that reads a store; what it raises of damage says where to go on."""
    try:
        yield
    except (CorruptionError, MissingSegment) as error:
        error.add_note(f"tidalctl verify {shlex.quote(str(folder))} lists all that is damaged and what to do")
        raise


def checked_folder(name: str, path: object, otherwise: str = "") -> Path:
    """Return the folder, symbolic links on the way to it followed: within a store there are none."""
    if not isinstance(path, str | os.PathLike) or not (text := os.fspath(path)) or not isinstance(text, str):
        raise InvalidOption(f"{name}={path!r}: give the folder of a store as text or Path{otherwise}")
    if "\0" in text:
        raise InvalidOption(f"{name}={path!r}: a path has no NUL")
    try:
        return Path(text).resolve()
    except (OSError, RuntimeError, UnicodeError) as error:
        raise InvalidOption(f"{name}={path!r}: no path of this system: {error}") from error


def check_schema(schema: object) -> None:
    """Raise SchemaError for what is neither a schema nor None."""
    if schema is not None and not isinstance(schema, Schema):
        hint = "; finish it with .build()" if isinstance(schema, SchemaBuilder) else ""
        raise SchemaError(f"schema= is a {type(schema).__name__}, not a tidal.Schema{hint}")


def _checked_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InvalidOption(f"{name}={value!r}: choose True or False")
    return bool(value)


def _checked_sync(sync: object) -> SyncPolicy:
    if not isinstance(sync, str | SyncPolicy):
        raise InvalidOption(
            f'sync={sync!r}: choose "group", "always", "interval:50ms", "os" or "buffered:5ms"'
        )
    return parse_sync(sync)


def _checked_recovery(recovery: object) -> Recovery:
    if recovery not in ("strict", "absolute"):
        raise InvalidOption(f'recovery={recovery!r}: choose "strict" or "absolute"')
    return recovery


def _checked_materializers(materializers: object) -> dict[str, Materializer]:
    if materializers is not None and not isinstance(materializers, Mapping):
        raise InvalidOption(f"materializers={materializers!r}: give each a name, as {{name: materializer}}")
    for name, materializer in (materializers or {}).items():
        if not isinstance(name, str) or not name:
            raise InvalidOption(f"materializers: {name!r} is no name; give each one as text")
        if isinstance(materializer, type) or not isinstance(materializer, Materializer):
            raise InvalidOption(
                f"materializers: {name!r} is {materializer!r}, which lacks a method of tidal.Materializer"
            )
    return dict(materializers or {})


def _checked_bytes(checkpoint_bytes: int | None) -> int | None:
    if checkpoint_bytes is not None and (type(checkpoint_bytes) is not int or checkpoint_bytes < 1):
        raise InvalidOption(f"checkpoint_bytes={checkpoint_bytes!r}: choose a positive integer, or None")
    return checkpoint_bytes


def _checked_limits(limits: object) -> Limits:
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise InvalidOption(f"limits={limits!r}: build them with tidal.Limits(...)")
    return limits


def _checked_sessions(sessions: object) -> SessionLimits:
    if sessions is None:
        return SessionLimits()
    if not isinstance(sessions, SessionLimits):
        raise InvalidOption(f"sessions={sessions!r}: build them with tidal.SessionLimits(...)")
    return sessions


def _checked_health(health: object) -> HealthLimits:
    if health is None:
        return HealthLimits()
    if not isinstance(health, HealthLimits):
        raise InvalidOption(f"health={health!r}: build them with tidal.HealthLimits(...)")
    return health


def _checked_jobs(jobs: object) -> JobLimits | None:
    if jobs is None:
        return None
    from tidal.jobs import JobLimits

    if not isinstance(jobs, JobLimits):
        raise InvalidOption(f"jobs={jobs!r}: build them with tidal.JobLimits(...)")
    return jobs


def _wall_clock(clock: Clock) -> Callable[[], int]:
    if callable(clock):
        if not isinstance(now := clock(), int | np.integer):  # time.time() counts seconds, as a float
            raise InvalidOption(f"the clock returned {now!r}; it must return ns since the epoch as an int")
        return clock
    if clock not in ("system", "event"):
        raise InvalidOption(f'clock={clock!r} is not known; use "system", "event" or a function returning ns')
    return time.time_ns
