"""From what people have (values, sequences, NumPy arrays, Arrow tables) to checked batches of events."""

from tidal.ingest.call import prepare_call
from tidal.ingest.check import Prepared, prepare_columns
from tidal.ingest.frames import prepare_frames
from tidal.ingest.keys import ResolveKeys
from tidal.ingest.refused import OnError, RefusedRow
from tidal.ingest.single import OneEvent, batch_of, prepare_one

__all__ = [
    "OnError",
    "OneEvent",
    "Prepared",
    "RefusedRow",
    "ResolveKeys",
    "batch_of",
    "prepare_call",
    "prepare_columns",
    "prepare_frames",
    "prepare_one",
]
