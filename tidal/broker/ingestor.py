"""Ingestor: a thread that ingests one shard's stream into its store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from tidal.broker.intake import Intake, Took
from tidal.broker.positions import Positions
from tidal.broker.streams import Streams
from tidal.db import TidalDb
from tidal.errors import (
    LimitExceeded,
    ReplicationError,
    StorageError,
    StorePoisoned,
    TidalError,
    TransportError,
)
from tidal.links import IngestSeen
from tidal.meters import said
from tidal.records import record
from tidal.sharding import ShardRouter
from tidal.transports.consuming import Stored
from tidal.transports.jetstream import RETRY_SECONDS, JetStream

TOGETHER: Final = 256  # messages that become durable by one sync
PURGE_SECONDS: Final = 1.0  # between removals of what was ingested

_WAITING = 64  # messages that were read ahead
_LOOK_SECONDS = 0.1  # between looks whether to end
_ROOM_SECONDS = 0.01
_PAUSE_SECONDS = (0.05, 5.0)  # the first and the longest time to wait for a store that takes nothing

_logger = logging.getLogger(__name__)


@record
class IngestStatus:
    """How far a shard is.

    ``position``: the last message that is durable in the store; ``pending``: messages of its stream that
    follow, when it was last heard of. Since the start: ``events``, ``duplicates`` in messages,
    ``dead_letters``, and ``missing`` messages, which the stream had no longer.
    """

    position: int = 0
    pending: int = 0
    events: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    missing: int = 0


class Ingestor:
    """Ingests what BatchPublishers publish for one shard, in a thread of its own, until close().

    The store says from where: it has each message's events and position together, so whatever ends this
    process, the next one goes on right there. What is durable in the store is removed from the stream
    (``purge=False``: is left there). A message that is no batch for this store goes to the dead letters. A
    limit or a full disk is waited for. ``error`` is what ended it before its time.

    Raises InvalidOption for a database without ``positions``, TransportError, and ReplicationError where the
    stream is not the one that the store has ingested from.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        db: TidalDb,
        positions: Positions,
        router: ShardRouter | None = None,
        *,
        shard: int = 0,
        streams: Streams | None = None,
        source: str | None = None,
        purge: bool = True,
        retry_seconds: float = RETRY_SECONDS,
        options: Mapping[str, Any] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.error: TidalError | None = None
        self._db, self._purge, self._monotonic = db, purge, monotonic
        self._streams, self._shard = streams or Streams(), shard
        self._stream, subject = self._streams.stream(shard), self._streams.subject(shard)
        self._intake = Intake(db, positions, source or self._stream, router or ShardRouter.single(), shard)
        self._status = IngestStatus(self._intake.position)
        self._stopping = threading.Event()
        self._waiting: queue.Queue[Stored] = queue.Queue(_WAITING)
        self._purged_at = monotonic()
        self._server = JetStream(servers, retry_seconds=retry_seconds, options=options)
        try:
            self._server.run(self._prepare(subject))
        except BaseException:
            self._server.close()
            raise
        self._reading = self._server.start(self._read(subject))
        self._thread = threading.Thread(target=self._run, name=f"tidal-ingest-{shard}", daemon=True)
        self._thread.start()
        db._links.attach(self._stream, self._seen)

    @property
    def status(self) -> IngestStatus:
        """How far it is."""
        return self._status

    @property
    def alive(self) -> bool:
        """Whether it still ingests."""
        return self._thread.is_alive()

    def _seen(self) -> IngestSeen:
        now, ended = self._status, self.error
        return IngestSeen(
            self._stream, None if ended is None else str(ended), now.position, now.pending, now.events,
            now.duplicates, now.dead_letters, now.missing,
        )  # fmt: skip

    def close(self) -> None:
        """Stop, once what it has taken is durable, and disconnect. A second close does nothing."""
        self._stopping.set()
        self._db._links.detach(self._stream)
        self._thread.join()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------ in the server's thread

    async def _prepare(self, subject: str) -> None:
        """Make the streams, and see that this is the one that the store knows."""
        await self._server.make_stream(self._streams.of_shard(self._shard))
        await self._server.make_stream(self._streams.of_dead())
        if position := self._intake.position:
            end = (await self._server.state(self._stream)).last_seq
            last = await self._server.message(self._stream, position)
            if last is not None or end < position:
                self._intake.check_last(last)

    async def _read(self, subject: str) -> None:
        first = self._intake.position + 1
        async with contextlib.aclosing(self._server.read(self._stream, subject, first)) as messages:
            async for message in messages:
                while True:
                    try:
                        self._waiting.put_nowait(message)
                        break
                    except queue.Full:
                        await asyncio.sleep(_ROOM_SECONDS)

    # ------------------------------------------------------------------------------ in its own thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except Exception as error:
            self.error = error if isinstance(error, TidalError) else ReplicationError(repr(error))
            about = said("broker_ended", thread=self._thread.name)
            _logger.exception("%s ended", self._thread.name, extra=about)
        finally:
            self._reading.cancel()

    def _turn(self) -> None:
        """Ingest what waits, together; then it is durable, and only then gone from the stream."""
        try:
            message = self._waiting.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            if self._reading.done():
                self._reading.result()
                raise ReplicationError(f"{self._stream} is read no more") from None
            return
        self._note(message, self._status.position)
        for _ in range(TOGETHER):
            took = self._patiently(lambda message=message: self._take(message))  # type: ignore[misc]
            if not took or self._stopping.is_set():
                break
            try:
                message = self._waiting.get_nowait()
            except queue.Empty:
                break
        if not self._patiently(self._db.flush):
            return
        self._note(message, self._intake.position)
        if self._purge and self._monotonic() - self._purged_at >= PURGE_SECONDS:
            self._forget()

    def _note(self, message: Stored, position: int) -> None:
        """Say how far it is durably, and how much follows by what was heard with a message."""
        pending = message.pending + max(0, message.seq - position)
        self._status = replace(self._status, position=position, pending=pending)

    def _take(self, message: Stored) -> None:
        """Ingest one message, or put it aside, and count it."""
        taken, now = self._intake.take(message.seq, message.payload), self._status
        if taken.took is Took.REFUSED:
            self._put_aside(message, taken.reason)
            self._intake.skip(message.seq)
        if taken.missing:
            about = said("gap", error_type="MissingMessages")
            _logger.error("%d messages of %s are gone", taken.missing, self._stream, extra=about)
        self._status = replace(
            now,
            events=now.events + (taken.events if taken.took is Took.INGESTED else 0),
            duplicates=now.duplicates + (taken.took is Took.DUPLICATE),
            dead_letters=now.dead_letters + (taken.took is Took.REFUSED),
            missing=now.missing + taken.missing,
        )

    def _put_aside(self, message: Stored, reason: str) -> None:
        about = said("dead_letter", seq=message.seq)
        _logger.warning("message %d of %s: %s", message.seq, self._stream, reason, extra=about)
        header = {
            "Tidal-Reason": reason.encode("unicode_escape").decode()[:500],
            "Tidal-Seq": str(message.seq),
        }
        subject, name = self._streams.dead_subject(self._shard), f"{self._stream}-{message.seq}"
        self._server.run(self._server.publish(subject, message.payload, name, header))

    def _forget(self) -> None:
        """Remove from the stream what is durable here. The last stays: it tells which stream it is."""
        try:
            self._server.run(self._server.forget(self._stream, self._intake.position))
        except TransportError as error:
            about = said("broker_unpurged", error_type=type(error).__name__)
            _logger.info("nothing was removed from %s: %s", self._stream, error, extra=about)
        self._purged_at = self._monotonic()

    def _patiently(self, do: Callable[[], object]) -> bool:
        """Do something of which nothing is left when it fails, until it is done or close() is called; return
        whether it is done.
        """
        pause = _PAUSE_SECONDS[0]
        while True:
            try:
                do()
                return True
            except (LimitExceeded, StorageError, TransportError) as error:
                if isinstance(error, StorePoisoned):
                    raise
                about = said("broker_retry", error_type=type(error).__name__, seconds=pause)
                _logger.warning("%s; tried again in %g s", error, pause, extra=about)
            if self._stopping.wait(pause):
                return False
            pause = min(2 * pause, _PAUSE_SECONDS[1])
