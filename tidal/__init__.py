"""tidal: an embeddable signal engine.

Feed it engagement events; it answers, for any of millions of entities, how hot each is now: decayed score,
windowed count, velocity, top-k. It is a library, and a directory on disk that survives a kill and a power
cut.
"""

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
    KeyCollision,
    LimitExceeded,
    MissingExtra,
    MissingSegment,
    NoSpace,
    ReadOnly,
    SchemaError,
    SchemaMismatch,
    StorageError,
    StoreClosed,
    StoreLocked,
    StoreMissing,
    StorePoisoned,
    TidalError,
    TooManyHalfLives,
    TooManySignals,
    UnknownMeasure,
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
from tidal.wal import SyncPolicy

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
    "KeyCollision",
    "LimitExceeded",
    "Limits",
    "Marks",
    "Materializer",
    "MissingExtra",
    "MissingSegment",
    "MovedRange",
    "NoSpace",
    "ReadOnly",
    "RebuildReport",
    "RecoveryReport",
    "SalvageReport",
    "Schema",
    "SchemaBuilder",
    "SchemaError",
    "SchemaMismatch",
    "SignalLedger",
    "SignalType",
    "StorageError",
    "StoreClosed",
    "StoreLocked",
    "StoreMissing",
    "StorePoisoned",
    "SyncPolicy",
    "TidalDb",
    "TidalError",
    "TooManyHalfLives",
    "TooManySignals",
    "Top",
    "UnknownMeasure",
    "UnknownSignalType",
    "UnreadableInput",
    "UsageError",
    "VelocityWithoutWindows",
    "__version__",
    "open",
    "rebuild",
    "salvage",
]
