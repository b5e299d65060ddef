"""tidal: an embeddable signal engine.

Feed it engagement events; it answers, for any of millions of entities, how hot each is now: decayed score,
windowed count, velocity, top-k. It is a library, and a directory on disk that survives a kill and a power
cut.
"""

from tidal.answers import Columns, Ingested, Top
from tidal.db import TidalDb
from tidal.errors import (
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
    InvalidName,
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
from tidal.materializer import Materializer
from tidal.opening import open
from tidal.recovery import RecoveryReport
from tidal.schema import EventBatch, Schema, SchemaBuilder, SignalType
from tidal.wal import SyncPolicy

__version__ = "0.1.0"

__all__ = [
    "Columns",
    "CorruptCheckpoint",
    "CorruptLog",
    "CorruptStore",
    "CorruptionError",
    "DuplicateName",
    "EventBatch",
    "FormatTooNew",
    "Ingested",
    "InvalidDuration",
    "InvalidEntity",
    "InvalidEvent",
    "InvalidKind",
    "InvalidName",
    "InvalidWindow",
    "KeyCollision",
    "LimitExceeded",
    "Materializer",
    "MissingExtra",
    "MissingSegment",
    "NoSpace",
    "ReadOnly",
    "RecoveryReport",
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
]
