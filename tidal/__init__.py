"""tidal: an embeddable signal engine.

Feed it engagement events; it answers, for any of millions of entities, how hot each is now: decayed score,
windowed count, velocity, top-k. It is a library, and a directory on disk that survives a kill and a power
cut.
"""

from typing import TYPE_CHECKING, Any

from tidal.answers import Columns, Ingested, Top
from tidal.archive import ArchivedFile
from tidal.archive.marks import Marks
from tidal.archive.upkeep import ArchiveReport
from tidal.db import TidalDb
from tidal.dedup import Dedup
from tidal.errors import (
    CorruptArchive,
    CorruptCheckpoint,
    CorruptionError,
    CorruptLog,
    CorruptStore,
    DuplicateName,
    ExportCancelled,
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
    RateLimited,
    ReadOnly,
    SchemaError,
    SchemaMismatch,
    SessionClosed,
    StorageError,
    StoreClosed,
    StoreLocked,
    StoreMissing,
    StorePoisoned,
    TidalError,
    TooManyHalfLives,
    TooManySignals,
    UnknownDataset,
    UnknownJob,
    UnknownMeasure,
    UnknownSession,
    UnknownSignalType,
    UnreadableInput,
    UsageError,
    VelocityWithoutWindows,
)
from tidal.ledger import SignalLedger
from tidal.limits import Limits
from tidal.materializer import Materializer
from tidal.opening import open
from tidal.rebuild import RebuildReport, rebuild
from tidal.recovery import RecoveryReport
from tidal.salvage import MovedRange, SalvageReport, salvage
from tidal.schema import EventBatch, Schema, SchemaBuilder, SignalType
from tidal.sessions import Session, SessionLimits, Sessions, SessionSummary
from tidal.wal import SyncPolicy

if TYPE_CHECKING:
    from tidal.export import ExportedSignal, ExportFormat, ExportRequest, SignalExport, Table
    from tidal.export.shapes import TrainingRequest
    from tidal.jobs import Job, JobLimits, JobRequest, Jobs, JobStatus

__version__ = "0.1.0"

__all__ = [
    "ArchiveReport",
    "ArchivedFile",
    "Columns",
    "CorruptArchive",
    "CorruptCheckpoint",
    "CorruptLog",
    "CorruptStore",
    "CorruptionError",
    "Dedup",
    "DuplicateName",
    "EventBatch",
    "ExportCancelled",
    "ExportFormat",
    "ExportRequest",
    "ExportedSignal",
    "FormatTooNew",
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
    "LimitExceeded",
    "Limits",
    "Marks",
    "Materializer",
    "MissingExtra",
    "MissingSegment",
    "MovedRange",
    "NoSpace",
    "RateLimited",
    "ReadOnly",
    "RebuildReport",
    "RecoveryReport",
    "SalvageReport",
    "Schema",
    "SchemaBuilder",
    "SchemaError",
    "SchemaMismatch",
    "Session",
    "SessionClosed",
    "SessionLimits",
    "SessionSummary",
    "Sessions",
    "SignalExport",
    "SignalLedger",
    "SignalType",
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
    "UnknownDataset",
    "UnknownJob",
    "UnknownMeasure",
    "UnknownSession",
    "UnknownSignalType",
    "UnreadableInput",
    "UsageError",
    "VelocityWithoutWindows",
    "__version__",
    "open",
    "rebuild",
    "salvage",
]


def __getattr__(name: str) -> Any:
    """Import what most programs never ask for: who only ingests and reads does not wait for it."""
    if name in ("ExportFormat", "ExportRequest", "ExportedSignal", "SignalExport", "Table"):
        import tidal.export

        found = getattr(tidal.export, name)
    elif name == "TrainingRequest":
        import tidal.export.shapes

        found = tidal.export.shapes.TrainingRequest
    elif name in ("Job", "JobLimits", "JobRequest", "JobStatus", "Jobs"):
        import tidal.jobs

        found = getattr(tidal.jobs, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
