"""Exports of a store's log: text, and a part of the time."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import tidal
from benchmarks.common import events, schema
from tidal import ExportRequest

EVENTS = 500_000
ENTITIES = 100_000


class Export:
    """Half a million events with users, in batches of 65,536."""

    params: ClassVar = (("jsonl", "csv"),)
    param_names: ClassVar = ("format",)
    number = 1

    def setup(self, format: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidal-bench-"))
        self.db = tidal.open(self.folder / "store", schema=schema(), sync="os")
        self.stream = events(ENTITIES, EVENTS)
        for batch in self.stream.batches():
            self.db.ingest(**batch, user_id=batch["entity_id"][::-1])
        self.db.flush()

    def teardown(self, format: str) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def time_write(self, format: str) -> None:
        self.db.export_signals(ExportRequest(all=True)).write(self.folder / f"out.{format}")

    def time_chunks(self, format: str) -> None:
        """Without a disk."""
        for _ in self.db.export_signals(ExportRequest(all=True)).table().chunks(format):
            pass

    def time_tenth(self, format: str) -> None:
        """A tenth of the time."""
        start = int(self.stream.times[EVENTS // 2])
        request = ExportRequest.time_range(start, start + self.stream.span_ns // 10)
        for _ in self.db.export_signals(request).table().chunks(format):
            pass
