"""tidal: an embeddable signal engine.

Feed it engagement events; it answers, for any of millions of entities, how hot each is now: decayed score,
windowed count, velocity, top-k. It is a library, and a directory on disk that survives a kill and a power
cut.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tidal.answers import Columns, Ingested, Top
    from tidal.archive import ArchivedFile
    from tidal.archive.marks import Marks
    from tidal.archive.upkeep import ArchiveReport
    from tidal.build import __version__
    from tidal.db import TidalDb
    from tidal.dedup import Dedup
    from tidal.errors import (
        ClockSkew,
        CorruptArchive,
        CorruptCheckpoint,
        CorruptionError,
        CorruptLog,
        CorruptStore,
        DuplicateName,
        ExportCancelled,
        ForeignHistory,
        FormatTooNew,
        InvalidDuration,
        InvalidEntity,
        InvalidEvent,
        InvalidKind,
        InvalidMark,
        InvalidName,
        InvalidOption,
        InvalidRetention,
        InvalidWindow,
        JobNotDone,
        KeyCollision,
        LimitExceeded,
        MissingExtra,
        MissingSegment,
        NoSpace,
        PayloadTooLarge,
        RateLimited,
        ReadOnly,
        ReplicationError,
        SchemaBehind,
        SchemaError,
        SchemaMismatch,
        SessionClosed,
        StaleEpoch,
        StorageError,
        StoreClosed,
        StoreLocked,
        StoreMissing,
        StorePoisoned,
        TidalError,
        TooManyHalfLives,
        TooManySignals,
        TransportClosed,
        TransportError,
        UnknownDataset,
        UnknownJob,
        UnknownMeasure,
        UnknownSession,
        UnknownSignalType,
        UnreadableInput,
        UsageError,
        VelocityWithoutWindows,
        WorkersLost,
    )
    from tidal.export import ExportedSignal, ExportFormat, ExportRequest, SignalExport, Table
    from tidal.export.shapes import TrainingRequest
    from tidal.following import FollowerDb, open_follower
    from tidal.health import Health, HealthLimits, HealthReason
    from tidal.jobs import Job, JobLimits, JobRequest, Jobs, JobStatus
    from tidal.ledger import SignalLedger
    from tidal.limits import Limits
    from tidal.materializer import Materializer
    from tidal.metrics import Metrics
    from tidal.opening import open
    from tidal.rebuild import RebuildReport, rebuild
    from tidal.recovery import RecoveryReport
    from tidal.regions import Region, RegionLink
    from tidal.replay import (
        Agreement,
        Comparison,
        Covered,
        Difference,
        LeftOut,
        RayExecutor,
        Replayed,
        ReplayProgress,
        WhatIf,
        compare,
        merge,
        replay,
        replay_at,
        timeline,
        what_if,
    )
    from tidal.salvage import MovedRange, SalvageReport, salvage
    from tidal.schema import EventBatch, Schema, SchemaBuilder, SignalType
    from tidal.sessions import Session, SessionLimits, Sessions, SessionSummary
    from tidal.sharding import ShardedDb, ShardRouter, open_sharded
    from tidal.wal import SyncPolicy

__all__ = [
    "Agreement",
    "ArchiveReport",
    "ArchivedFile",
    "ClockSkew",
    "Columns",
    "Comparison",
    "CorruptArchive",
    "CorruptCheckpoint",
    "CorruptLog",
    "CorruptStore",
    "CorruptionError",
    "Covered",
    "Dedup",
    "Difference",
    "DuplicateName",
    "EventBatch",
    "ExportCancelled",
    "ExportFormat",
    "ExportRequest",
    "ExportedSignal",
    "FollowerDb",
    "ForeignHistory",
    "FormatTooNew",
    "Health",
    "HealthLimits",
    "HealthReason",
    "Ingested",
    "InvalidDuration",
    "InvalidEntity",
    "InvalidEvent",
    "InvalidKind",
    "InvalidMark",
    "InvalidName",
    "InvalidOption",
    "InvalidRetention",
    "InvalidWindow",
    "Job",
    "JobLimits",
    "JobNotDone",
    "JobRequest",
    "JobStatus",
    "Jobs",
    "KeyCollision",
    "LeftOut",
    "LimitExceeded",
    "Limits",
    "Marks",
    "Materializer",
    "Metrics",
    "MissingExtra",
    "MissingSegment",
    "MovedRange",
    "NoSpace",
    "PayloadTooLarge",
    "RateLimited",
    "RayExecutor",
    "ReadOnly",
    "RebuildReport",
    "RecoveryReport",
    "Region",
    "RegionLink",
    "ReplayProgress",
    "Replayed",
    "ReplicationError",
    "SalvageReport",
    "Schema",
    "SchemaBehind",
    "SchemaBuilder",
    "SchemaError",
    "SchemaMismatch",
    "Session",
    "SessionClosed",
    "SessionLimits",
    "SessionSummary",
    "Sessions",
    "ShardRouter",
    "ShardedDb",
    "SignalExport",
    "SignalLedger",
    "SignalType",
    "StaleEpoch",
    "StorageError",
    "StoreClosed",
    "StoreLocked",
    "StoreMissing",
    "StorePoisoned",
    "SyncPolicy",
    "Table",
    "TidalDb",
    "TidalError",
    "TooManyHalfLives",
    "TooManySignals",
    "Top",
    "TrainingRequest",
    "TransportClosed",
    "TransportError",
    "UnknownDataset",
    "UnknownJob",
    "UnknownMeasure",
    "UnknownSession",
    "UnknownSignalType",
    "UnreadableInput",
    "UsageError",
    "VelocityWithoutWindows",
    "WhatIf",
    "WorkersLost",
    "__version__",
    "compare",
    "merge",
    "open",
    "open_follower",
    "open_sharded",
    "rebuild",
    "replay",
    "replay_at",
    "salvage",
    "timeline",
    "what_if",
]

# Where each public name comes from: what is in no line is an error. Imported when it is first asked for.
_HOMES: Final = {
    "tidal.answers": ("Columns", "Ingested", "Top"),
    "tidal.archive": ("ArchivedFile",),
    "tidal.archive.marks": ("Marks",),
    "tidal.archive.upkeep": ("ArchiveReport",),
    "tidal.build": ("__version__",),
    "tidal.db": ("TidalDb",),
    "tidal.dedup": ("Dedup",),
    "tidal.export": ("ExportedSignal", "ExportFormat", "ExportRequest", "SignalExport", "Table"),
    "tidal.export.shapes": ("TrainingRequest",),
    "tidal.health": ("Health", "HealthLimits", "HealthReason"),
    "tidal.following": ("FollowerDb", "open_follower"),
    "tidal.jobs": ("Job", "JobLimits", "JobRequest", "Jobs", "JobStatus"),
    "tidal.ledger": ("SignalLedger",),
    "tidal.limits": ("Limits",),
    "tidal.materializer": ("Materializer",),
    "tidal.metrics": ("Metrics",),
    "tidal.opening": ("open",),
    "tidal.rebuild": ("RebuildReport", "rebuild"),
    "tidal.recovery": ("RecoveryReport",),
    "tidal.regions": ("Region", "RegionLink"),
    "tidal.replay": (
        "Agreement",
        "Comparison",
        "Covered",
        "Difference",
        "LeftOut",
        "RayExecutor",
        "Replayed",
        "ReplayProgress",
        "WhatIf",
        "compare",
        "merge",
        "replay",
        "replay_at",
        "timeline",
        "what_if",
    ),
    "tidal.salvage": ("MovedRange", "SalvageReport", "salvage"),
    "tidal.schema": ("EventBatch", "Schema", "SchemaBuilder", "SignalType"),
    "tidal.sessions": ("Session", "SessionLimits", "Sessions", "SessionSummary"),
    "tidal.sharding": ("ShardedDb", "ShardRouter", "open_sharded"),
    "tidal.wal": ("SyncPolicy",),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "tidal.errors")
    found = getattr(importlib.import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A package in which a function is found also after the import of the module that has its name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
