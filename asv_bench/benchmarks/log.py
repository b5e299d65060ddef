"""The log: encoding and decoding batches, replay, and what an event takes on disk."""

from __future__ import annotations

from typing import ClassVar

import tidal
from benchmarks.common import (
    BATCH_EVENTS,
    ENTITIES,
    SKEWED,
    UNIFORM,
    each_once,
    events,
    folder_bytes,
    ingest,
    new_folder,
    schema,
)
from tidal.demo.retail import read_order_lines, retail_schema
from tidal.durable import OsFileSystem
from tidal.format.payload import decode_payload, encode_payload
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch
from tidal.store import StorePaths
from tidal.wal import read_batches

REPLAYED_BATCHES = 16


class Payload:
    """One batch of 65,536 events to bytes and back."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED))
    param_names: ClassVar = ("entities", "skew")

    def setup(self, entities: int, skew: int) -> None:
        batch = events(entities, BATCH_EVENTS, skew=skew)
        types = (batch.ids & 0).astype("u1")
        self.batch = EventBatch(batch.ids, types, batch.weights, batch.times)
        self.payload = encode_payload(self.batch, 0).payload

    def time_encode(self, entities: int, skew: int) -> None:
        encode_payload(self.batch, 0)

    def time_decode(self, entities: int, skew: int) -> None:
        decode_payload(memoryview(self.payload), BATCH_EVENTS)


class Replay:
    """A log of 16 batches of 65,536 events, to the live state of an empty ledger."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED))
    param_names: ClassVar = ("entities", "skew")
    number = 1

    def setup(self, entities: int, skew: int) -> None:
        folder = new_folder() / "store"
        with tidal.open(folder, schema=schema(), sync="os") as db:
            ingest(db, events(entities, REPLAYED_BATCHES * BATCH_EVENTS, skew=skew))
        self.wal = StorePaths(folder).wal
        self.ledger = SignalLedger(schema())

    def time_replay(self, entities: int, skew: int) -> None:
        with self.ledger.gathering() as gathering:
            for _, batch in read_batches(OsFileSystem(), self.wal):
                gathering.add(batch)

    def time_decode(self, entities: int, skew: int) -> None:
        for _ in read_batches(OsFileSystem(), self.wal):
            pass


class BytesAnEvent:
    """The size of the log in bytes an event."""

    params: ClassVar = (ENTITIES, (UNIFORM, SKEWED))
    param_names: ClassVar = ("entities", "skew")
    unit = "bytes"

    def track_log(self, entities: int, skew: int) -> float:
        folder = new_folder() / "store"
        with tidal.open(folder, schema=schema(), sync="os") as db:
            ingest(db, each_once(entities))
            before = folder_bytes(StorePaths(folder).wal)
            ingest(db, events(entities, REPLAYED_BATCHES * BATCH_EVENTS, skew=skew))
            grown = folder_bytes(StorePaths(folder).wal) - before
        return grown / (REPLAYED_BATCHES * BATCH_EVENTS)


class BytesAnOrderLine:
    """The size of the log of the bundled shop's order lines: products by key, with users and sessions."""

    params: ClassVar = ((65_536, 541_909),)
    param_names: ClassVar = ("rows",)
    unit = "bytes"

    def track_log(self, rows: int) -> float:
        folder = new_folder() / "store"
        with tidal.open(folder, schema=retail_schema(), sync="os", clock="event") as db:
            for lines in read_order_lines(batch_rows=BATCH_EVENTS):
                db.ingest(**lines.events())
                if db.last_seq >= rows:
                    break
            return folder_bytes(StorePaths(folder).wal) / db.last_seq
