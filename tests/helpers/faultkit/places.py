"""Where stores under fault lie."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def fast_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory if this machine has one (a fault is injected above the disk), else ``otherwise``."""
    if not os.access("/dev/shm", os.W_OK):
        yield otherwise
        return
    folder = Path(tempfile.mkdtemp(prefix="tidal-faults-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
