"""The events of a source as few large batches, read ahead in a thread while the last ones are applied."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final, TypeVar

from tidal.durable import FileSystem
from tidal.format.payload import EVENTS_PER_BATCH_MAX
from tidal.parts import join_batches
from tidal.records import record
from tidal.replay.job import Job
from tidal.replay.reading import read_events
from tidal.replay.source import LeftOut, Source
from tidal.schema import EventBatch

_T = TypeVar("_T")

BATCH_EVENTS: Final = 1 << 20  # 21 MB; a table turns its windows once for each batch, not for each minute
PARTS_MAX: Final = 1024  # that wait to be joined: a batch of one event takes a hundred times its columns
AHEAD_MAX: Final = 2  # batches that wait to be applied


@record
class ReplayProgress:
    """How far a replay is. Bytes are those of files, as they were stored."""

    events: int
    events_total: int
    bytes: int
    bytes_total: int

    @property
    def share(self) -> float:
        """How much is done, 0.0 to 1.0."""
        return self.events / self.events_total if self.events_total else 1.0


Progress = Callable[[ReplayProgress], object]


class Meter:
    """Turns sequences into progress."""

    def __init__(self, source: Source, progress: Progress | None) -> None:
        self._source, self._progress = source, progress
        self._ends = [piece.last_seq for piece in source.pieces]
        self._sizes = [0]
        for piece in source.pieces:
            self._sizes.append(self._sizes[-1] + piece.size)

    def at(self, last_seq: int) -> None:
        """Tell that all is done up to a sequence."""
        if self._progress is not None:
            self._progress(
                ReplayProgress(
                    last_seq - self._source.first_seq + 1, self._source.events,
                    self._bytes(last_seq), self._sizes[-1],
                )
            )  # fmt: skip

    def done(self, events: int) -> None:
        """Tell that so many events are done, wherever they are."""
        self.at(self._source.first_seq - 1 + events)

    def _bytes(self, last_seq: int) -> int:
        place = bisect_left(self._ends, last_seq)
        if place == len(self._ends):
            return self._sizes[-1]
        piece = self._source.pieces[place]
        within = max(last_seq - piece.first_seq + 1, 0)
        return self._sizes[place] + piece.size * within // piece.events


def kept_events(
    fs: FileSystem, source: Source, job: Job, lost: list[LeftOut]
) -> Iterator[tuple[int, EventBatch]]:
    """Yield (last seq, batch) of the events that the job keeps, in large batches, in the log's order.

    What is left out is added to ``lost``, if the job leaves anything out. Raises as read_events.
    """
    return _kept(fs, source, job, lost, BATCH_EVENTS)


def kept_batches(
    fs: FileSystem, source: Source, job: Job, lost: list[LeftOut]
) -> Iterator[tuple[int, EventBatch]]:
    """Yield what kept_events() does, for a ledger that gathers them: only small ones are joined."""
    return _kept(fs, source, job, lost, EVENTS_PER_BATCH_MAX)


def _kept(
    fs: FileSystem, source: Source, job: Job, lost: list[LeftOut], events: int
) -> Iterator[tuple[int, EventBatch]]:
    joined: list[EventBatch] = []  # of PARTS_MAX each: what waits is copied twice, however small the batches
    pending: list[EventBatch] = []
    count = last = 0
    for first, batch in read_events(fs, source, job.selected, lost if job.skip else None):
        kept = job.keep(batch)
        last = first + len(batch) - 1
        if len(kept) or kept.new_keys:
            pending.append(kept)
            count += len(kept)
        if len(pending) == PARTS_MAX:
            joined.append(join_batches(pending))
            pending = []
        if count >= events:
            yield last, join_batches([*joined, *pending])
            joined, pending, count = [], [], 0
    if joined or pending:
        yield last, join_batches([*joined, *pending])


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yield the same items; the next ones are made in a thread meanwhile."""
    end = object()
    with closing(_Ahead(lambda: next(items, end))) as waiting:
        while (item := waiting.next()) is not end:
            yield item  # type: ignore[misc]


class _Ahead:
    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tidal-replay")
        self._waiting: deque[Future[object]] = deque(self._pool.submit(make) for _ in range(AHEAD_MAX))

    def next(self) -> object:
        made = self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._make))
        return made

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
