"""A store made out of another one: it has its name only once it is whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tidal.durable import FileSystem, replace_file
from tidal.errors import InvalidOption
from tidal.opening.arguments import open as open_store
from tidal.schema import EventBatch, Schema
from tidal.storage import SqliteEngine
from tidal.store import StorePaths

UNFINISHED: Final = ".unfinished"

_ROWS_TOGETHER: Final = 10_000  # records of entities in one transaction

Row = tuple[str, bytes, bytes]  # keyspace, key, value


class RemadeStore:
    """A store in the making, in a folder with ``.unfinished`` after its name. Use it in a ``with`` block.

    ``finish`` gives it its name. Whatever happens before that leaves no folder of that name, and what was
    made so far to be removed by hand: nothing tells it from something that is still wanted.
    """

    def __init__(self, fs: FileSystem, source: Path, target: Path, schema: Schema) -> None:
        target = target.resolve()
        if target.is_relative_to(source.resolve()):
            raise InvalidOption(f"{target} lies in {source}, which is not written to; choose another place")
        self.target, self.making = target, target.with_name(target.name + UNFINISHED)
        if fs.exists(target):
            raise InvalidOption(f"{target} exists; name a folder that does not")
        if fs.exists(self.making):
            raise InvalidOption(f"{self.making} was left by a run that was interrupted; remove it first")
        self._fs = fs
        # Synced once, at the end: before that there is nothing that somebody relies on.
        self._db = open_store(
            self.making,
            schema=schema,
            sync="os",
            clock="event",
            max_future_skew=None,
            checkpoint_bytes=None,
            file_system=fs,
        )

    def write(self, batch: EventBatch) -> tuple[int, int]:
        """Record checked events, their types by the ids of this store; return their sequences."""
        return self._db._take_over(batch)

    def finish(self, rows: Iterable[Row], origin: Callable[[], Mapping[str, Any]]) -> None:
        """Add the records of entities, then the report of where all came from; give the store its name."""
        self._db.close()
        paths = StorePaths(self.making)
        engine = SqliteEngine(paths.entities, fs=self._fs)
        try:
            waiting = iter(rows)
            while some := list(itertools.islice(waiting, _ROWS_TOGETHER)):
                with engine.batch() as batch:
                    for keyspace, key, value in some:
                        batch.put(keyspace, key, value)
        finally:
            engine.close()
        replace_file(self._fs, paths.origin, [json.dumps(origin(), indent=2).encode() + b"\n"])
        self._fs.rename(self.making, self.target)
        self._fs.sync_dir(self.target.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.__exit__(kind, error, trace)
        if error is not None:
            error.add_note(f"{self.making} holds what was made so far; remove it")
