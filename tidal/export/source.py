"""Where exported events come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tidal.archive import read_archive_manifest
from tidal.durable import FileSystem
from tidal.errors import MissingSegment
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.schema import EventBatch, Schema
from tidal.store import StorePaths

Names = Callable[[str, Iterable[int]], list[str | None]]


class SignalSource(Protocol):
    """Events in an order that never changes, with what they mean."""

    @property
    def schema(self) -> Schema: ...

    @property
    def durable_seq(self) -> int:
        """The last sequence that may be read: no power cut takes it back."""

    def names(self, kind: str, ids: Iterable[int]) -> list[str | None]:
        """Return the string key of each id, None where it has none."""

    def read(
        self,
        after_seq: int | None,
        until_seq: int,
        since: int | None,
        until: int | None,
        types: Collection[int] | None,
    ) -> Iterator[tuple[int, EventBatch]]:
        """Yield (first sequence, batch) in order, whole batches that hold something wanted.

        ``after_seq`` None: from the oldest event that there is. Raises MissingSegment where events after
        ``after_seq`` are gone.
        """


@dataclass(frozen=True, slots=True)
class StoreSource:
    """The log and the archive of a store, read while it is written, as far as it was durable."""

    fs: FileSystem
    paths: StorePaths
    identity: LogIdentity
    schema: Schema
    durable_seq: int
    name_ids: Names

    def names(self, kind: str, ids: Iterable[int]) -> list[str | None]:
        return self.name_ids(kind, ids)

    def read(
        self,
        after_seq: int | None,
        until_seq: int,
        since: int | None,
        until: int | None,
        types: Collection[int] | None,
    ) -> Iterator[tuple[int, EventBatch]]:
        while True:
            begin = self._oldest() - 1 if after_seq is None else after_seq
            if begin >= until_seq:
                return
            batches = read_history(
                self.fs, self.paths, identity=self.identity,
                after_seq=begin, until_seq=until_seq, since=since, until=until, types=types,
            )  # fmt: skip
            try:
                yield next(batches)
            except StopIteration:
                return
            except MissingSegment:
                # Retention may have removed the oldest file between the two looks.
                if after_seq is not None or self._oldest() - 1 == begin:
                    raise
                continue
            yield from batches
            return

    def _oldest(self) -> int:
        """Return the oldest sequence that retention has left."""
        manifest = read_archive_manifest(self.fs, self.paths.archive, self.identity)
        return 1 if manifest is None else manifest.start_seq
