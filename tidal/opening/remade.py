"""A store made out of other data: it has its name only once it is whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tidal.durable import FileSystem, read_file, replace_file
from tidal.errors import InvalidOption
from tidal.opening.arguments import open as open_store
from tidal.schema import EventBatch, Schema
from tidal.storage import SqliteEngine
from tidal.store import StorePaths

UNFINISHED: Final = ".unfinished"

_ROWS_TOGETHER: Final = 10_000  # records of entities in one transaction

Row = tuple[str, bytes, bytes]  # keyspace, key, value


class Unnamed:
    """A folder in the making, with ``.unfinished`` after its name. Use it in a ``with`` block.

    ``name`` gives it its name. Whatever happens before that leaves no folder of that name, and what was
    made so far to be removed by hand: nothing tells it from something that is still wanted.
    """

    def __init__(self, fs: FileSystem, target: Path, *, resume: bool = False) -> None:
        target = target.resolve()
        self.target, self.making = target, target.with_name(target.name + UNFINISHED)
        if fs.exists(target):
            raise InvalidOption(f"{target} exists; name a folder that does not")
        if fs.exists(self.making) and not resume:
            raise InvalidOption(f"{self.making} was left by a run that was interrupted; remove it first")
        self._fs = fs

    def name(self) -> None:
        """Give the folder its name, durably."""
        self._fs.rename(self.making, self.target)
        self._fs.sync_dir(self.target.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"{self.making} holds what was made so far; remove it")


class RemadeStore(Unnamed):
    """A store in the making, from another one; ``finish`` gives it its name.

    ``place``: the region and shard that it is, those of the other: so it can stand in for that one.
    ``start`` says what is made of what, for who goes on after an interruption; ``resume`` goes on with what
    was left, if it was started so. InvalidOption if not. ``written`` is how many events it has already.
    """

    def __init__(
        self,
        fs: FileSystem,
        source: Path,
        target: Path,
        schema: Schema,
        place: tuple[int, int],
        *,
        start: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        if target.resolve().is_relative_to(source.resolve()):
            raise InvalidOption(
                f"{target.resolve()} lies in {source}, which is not written to; choose another place"
            )
        super().__init__(fs, target, resume=resume)
        started = StorePaths(self.making).started
        if resume and fs.exists(self.making):
            self._check_start(started, start)
        # Synced once, at the end: before that there is nothing that somebody relies on.
        self._db = open_store(
            self.making,
            schema=schema,
            sync="os",
            clock="event",
            max_future_skew=None,
            checkpoint_bytes=None,
            region=place[0],
            shard=place[1],
            file_system=fs,
        )
        try:
            self.written = self._db.last_seq
            if start is not None:
                replace_file(fs, started, [_as_json(start)])
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def _check_start(self, path: Path, start: Mapping[str, Any] | None) -> None:
        """Raise unless what was left was started in the same way."""
        before = read_file(self._fs, path) if self._fs.exists(path) else b""
        if start is None or before != _as_json(start):
            raise InvalidOption(f"{self.making} is of another run, or of none that can go on; remove it")

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
        replace_file(self._fs, paths.origin, [_as_json(origin())])
        if self._fs.exists(paths.started):
            self._fs.remove(paths.started)
        self.name()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)


def _as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
