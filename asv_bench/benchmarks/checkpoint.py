"""Checkpoints: written and verified by a database, read back, and how large they are."""

from __future__ import annotations

from typing import ClassVar

import tidal
from benchmarks.common import (
    ENTITIES,
    SIGNAL,
    SKEWED,
    each_once,
    events,
    folder_bytes,
    ingest,
    new_folder,
    schema,
)
from tidal.checkpoint import list_checkpoints, read_checkpoint, verify_checkpoint
from tidal.durable import OsFileSystem
from tidal.store import StorePaths


class Checkpoint:
    """A store that knows every entity, with two skewed events of each on average."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)
    number = 1
    unit = "bytes"

    def setup(self, entities: int) -> None:
        folder = new_folder() / "store"
        self.folder = StorePaths(folder).checkpoints
        self.db = tidal.open(folder, schema=schema(), sync="os", checkpoint_bytes=None)
        first = each_once(entities)
        ingest(self.db, first)
        ingest(self.db, events(entities, 2 * entities, skew=SKEWED), shift_ns=first.span_ns)
        self.db.checkpoint()
        self.path = list_checkpoints(OsFileSystem(), self.folder)[0].path
        self.db.signal(SIGNAL, 1)  # without it there would be nothing new to save

    def teardown(self, entities: int) -> None:
        self.db.close()

    def time_write(self, entities: int) -> None:
        self.db.checkpoint()

    def time_read(self, entities: int) -> None:
        read_checkpoint(OsFileSystem(), self.path)

    def time_verify(self, entities: int) -> None:
        verify_checkpoint(OsFileSystem(), self.path)

    def peakmem_write(self, entities: int) -> None:
        self.db.checkpoint()

    def track_bytes_an_entity(self, entities: int) -> float:
        return folder_bytes(self.folder) / entities
