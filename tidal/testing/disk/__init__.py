"""A disk that can be cut off: what was made durable is there again, anything else may be.

``MemoryDisk`` is a file system in memory that writes down every change, ``crash_states`` yields what a power
cut may leave of them. Use the two to test what keeps files through a ``tidal.durable.FileSystem``.

>>> import random
>>> from pathlib import Path
>>> disk = MemoryDisk()
>>> file = disk.create(Path("/log"))
>>> _ = file.append([b"event"])
>>> file.sync()
>>> states = crash_states(disk.initial, disk.journal, rng=random.Random(0))
>>> sorted({state.image.files.get("/log", b"no such file") for state in states})
[b'', b'\\x00\\x00\\x00\\x00\\x00', b'event', b'no such file']
"""

from tidal.testing.disk.engine import FileEngine
from tidal.testing.disk.image import Image
from tidal.testing.disk.journal import (
    Create,
    Lose,
    MakeDir,
    Mark,
    Op,
    Remove,
    Rename,
    Sync,
    SyncDir,
    Truncate,
    Write,
)
from tidal.testing.disk.memory import Fault, Faults, MemoryDisk
from tidal.testing.disk.states import SECTOR_BYTES, CrashState, Replay, States, crash_states

__all__ = [
    "SECTOR_BYTES",
    "CrashState",
    "Create",
    "Fault",
    "Faults",
    "FileEngine",
    "Image",
    "Lose",
    "MakeDir",
    "Mark",
    "MemoryDisk",
    "Op",
    "Remove",
    "Rename",
    "Replay",
    "States",
    "Sync",
    "SyncDir",
    "Truncate",
    "Write",
    "crash_states",
]
