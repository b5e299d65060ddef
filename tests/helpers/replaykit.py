"""Stores to be replayed, and their events as the twin sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from tidal.durable import OsFileSystem
from tidal.history import read_history
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.store import StorePaths, load_store
from tidal.testing import ModelLedger
from tidal.testing.model import Event


def history(store: Path) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) of all events of a store."""
    fs, paths = OsFileSystem(), StorePaths(store)
    yield from read_history(fs, paths, identity=load_store(fs, paths).log)


def events_of(store: Path) -> list[tuple[int, Event]]:
    """Return each signal with its sequence, in the order of the log."""
    schema = load_store(OsFileSystem(), StorePaths(store)).schema
    found = []
    for first, batch in history(store):
        columns = (batch.type_id, batch.entity_id, batch.weight, batch.timestamp)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for seq, (type_id, *rest) in enumerate(rows, start=first):
            if type_id != NOTE_TYPE_ID:
                found.append((seq, Event(schema.by_id(type_id).name, *rest)))
    return found


def twin(
    store: Path, schema: Schema | None = None, wanted: Callable[[int, Event], bool] = lambda *_: True
) -> ModelLedger:
    """Return the twin that was told of the wanted events of a store, under its schema or another."""
    if schema is None:
        schema = load_store(OsFileSystem(), StorePaths(store)).schema
    events = (event for seq, event in events_of(store) if wanted(seq, event))
    return ModelLedger(schema, (it for it in events if it.signal in schema.names))


class Reluctant(Executor):
    """Runs tasks at once, and breaks at the calls with these numbers (from 0), counted over all of them."""

    def __init__(self, breaks: Sequence[int] = (), error: Callable[[], BaseException] = OSError) -> None:
        self.breaks, self.error = breaks, error
        self.calls = 0

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        number, future = self.calls, Future[Any]()
        self.calls += 1
        if number in self.breaks:
            future.set_exception(self.error())
            return future
        try:
            future.set_result(task(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file; a negative offset counts from its end."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)
