"""open(): from a path and options to a database."""

from tidal.opening.arguments import CHECKPOINT_BYTES_DEFAULT, Clock, open
from tidal.opening.options import EngineOpener, Recovery, StoreOptions, Wiring
from tidal.opening.stored import open_store

__all__ = [
    "CHECKPOINT_BYTES_DEFAULT",
    "Clock",
    "EngineOpener",
    "Recovery",
    "StoreOptions",
    "Wiring",
    "open",
    "open_store",
]
