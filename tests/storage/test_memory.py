"""The engine in memory holds to the protocol."""

from __future__ import annotations

from pathlib import Path

from tidal.storage import MemoryEngine, StorageEngine
from tidal.testing.storage import StorageEngineTests


class TestMemoryEngine(StorageEngineTests):
    def open_engine(self, tmp_path: Path) -> StorageEngine:
        return MemoryEngine()
