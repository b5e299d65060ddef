"""NATS JetStream for code with threads: a connection in a thread of its own, whose calls wait and try again.

Needs ``tidaldb[nats]``. What a server that starts, or elects a leader, cannot do yet is tried for
``retry_seconds``; then it is a TransportError.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tidal.errors import MissingExtra, TidalError, TransportClosed, TransportError
from tidal.meters import said
from tidal.transports.consuming import ANSWER_SECONDS, Stored, consume

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import StreamConfig, StreamState

RETRY_SECONDS: Final = 30.0
HEADER_BYTES: Final = 1024  # of a message's limit, left to its headers

_PAUSE_SECONDS = (0.05, 1.0)  # the first and the longest time between tries
_CLOSE_SECONDS = 5.0
_WRONG_LAST_SEQUENCE = 10071  # of JetStream's errors: another message has the subject already

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


class JetStream:
    """A connection to one NATS server or a cluster. Safe to share by threads.

    ``servers``: "nats://127.0.0.1:4222" or several; ``options`` are those of ``nats.connect``: user,
    password, tls, user_credentials. TransportError if no server is reached within ``retry_seconds``.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        *,
        retry_seconds: float = RETRY_SECONDS,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        _nats()
        self.retry_seconds = retry_seconds
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._options = dict(options or {})
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tidal-nats", daemon=True)
        self._thread.start()
        self._client: Client
        self._js: JetStreamContext
        try:
            self.run(self._connect())
        except BaseException:
            self._end()
            raise

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def max_payload(self) -> int:
        """The most bytes that the server takes in one message, beside its headers."""
        return self._client.max_payload - HEADER_BYTES

    def start(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        """Run a coroutine in the connection's thread; TransportClosed."""
        if self._closed:
            work.close()
            raise TransportClosed("the transport was closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what a coroutine returns, run in the connection's thread; TransportError."""
        future = self.start(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise TransportClosed("the transport was closed") from None
        except TidalError:
            raise
        except Exception as error:
            raise TransportError(f"the NATS server refused: {_said(error)}") from error

    def close(self) -> None:
        """Give up what is under way, and disconnect. A second close does nothing."""
        if not self._closed:
            self._closed = True
            self._end()

    # ------------------------------------------------------------------------------ for coroutines

    async def publish(
        self, subject: str, payload: bytes, message_id: str, headers: Mapping[str, str] | None = None
    ) -> int:
        """Return the sequence of a message that the stream has stored; tried again, it is stored once."""
        sent = {"Nats-Msg-Id": message_id, **(headers or {})}

        async def store() -> int:
            ack = await self._js.publish(subject, payload, timeout=ANSWER_SECONDS, headers=sent)
            return int(ack.seq)

        return await self._until_answered(store)

    async def make_stream(self, config: StreamConfig) -> None:
        """Make a stream, where there is none of its name: who has made one has chosen how it is kept."""
        from nats.js.errors import BadRequestError, NotFoundError

        name = config.name or ""

        async def make() -> None:
            try:
                await self._js.stream_info(name)
            except NotFoundError:
                with contextlib.suppress(BadRequestError):  # another node was first; else the next look tells
                    await self._js.add_stream(config)
                await self._js.stream_info(name)

        await self._until_answered(make)

    async def state(self, stream: str) -> StreamState:
        """Return what the server says of a stream: its first and last sequence, messages and bytes."""
        return await self._until_answered(lambda: self._state(stream))

    async def message(self, stream: str, seq: int) -> bytes | None:
        """Return a message of a stream; None where it has none of this sequence."""
        from nats.js.errors import NotFoundError

        try:
            return (await self._until_answered(lambda: self._js.get_msg(stream, seq))).data or b""
        except NotFoundError:
            return None

    async def forget(self, stream: str, before_seq: int) -> None:
        """Remove the messages of a stream that are before one."""
        await self._until_answered(lambda: self._js.purge_stream(stream, seq=before_seq))

    async def put_first(self, stream: str, subject: str, value: bytes) -> bytes:
        """Store a message if its subject has none, and return the message that it has."""
        from nats.js.errors import APIError

        try:
            await self.publish(
                subject, value, os.urandom(8).hex(), {"Nats-Expected-Last-Subject-Sequence": "0"}
            )
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
        found = await self._until_answered(lambda: self._js.get_last_msg(stream, subject))
        return found.data or b""

    async def newest(self, stream: str, subject: str) -> bytes | None:
        """Return the last message of a subject, None if it has none; asked once, and not again."""
        from nats.js.errors import NotFoundError

        try:
            return (await self._js.get_last_msg(stream, subject)).data or b""
        except NotFoundError:
            return None

    async def read(self, stream: str, subject: str, first_seq: int) -> AsyncGenerator[Stored, None]:
        """Yield the messages of a subject from a sequence on, in order, each once, as they come: for ever.

        Servers may come and go meanwhile; a message is left out only if the stream has it no longer.
        TransportError for a stream that ends before that sequence: it has lost its end, or was made anew.
        """
        pause = _PAUSE_SECONDS[0]
        while True:
            lost = False  # said of a fresh look alone: what is read afterwards is beyond it
            try:
                last_seq = (await self._state(stream)).last_seq
                lost = last_seq + 1 < first_seq
                if not lost:
                    async with contextlib.aclosing(
                        consume(self._client, self._js, stream, subject, first_seq)
                    ) as messages:
                        async for message in messages:
                            yield message
                            first_seq, pause = message.seq + 1, _PAUSE_SECONDS[0]
            except Exception as error:  # of a server that is gone, or has no such stream yet
                if self._client.is_closed:
                    return
                about = said("broker_retry", error_type=type(error).__name__, seconds=pause)
                _logger.warning("%s cannot be read: %s", subject, _said(error), extra=about)
            if lost:
                raise TransportError(
                    f"stream {stream} ends with message {last_seq}, and had message {first_seq - 1} before"
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])

    # ------------------------------------------------------------------------------ inside

    async def _state(self, stream: str) -> StreamState:
        return (await self._js.stream_info(stream)).state

    async def _until_answered(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return what a call returns; while the server cannot answer, ask again."""
        give_up_at = time.monotonic() + self.retry_seconds
        pause = _PAUSE_SECONDS[0]
        while True:
            try:
                return await call()
            except Exception as error:
                if self._client.is_closed or not _may_pass(error) or time.monotonic() + pause > give_up_at:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_SECONDS[1])

    async def _connect(self) -> None:
        nats = _nats()

        async def quiet(error: Exception) -> None:
            about = said("broker_told", error_type=type(error).__name__)
            _logger.debug("NATS: %s", _said(error), extra=about)

        try:
            self._client = await asyncio.wait_for(
                nats.connect(
                    **{
                        "servers": self._servers,
                        "error_cb": quiet,
                        "max_reconnect_attempts": -1,
                        "reconnect_time_wait": 0.25,
                        **self._options,
                    }
                ),
                self.retry_seconds,
            )
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise TransportError(f"no NATS server answers at {', '.join(self._servers)}") from error
        self._js = self._client.jetstream(timeout=ANSWER_SECONDS)

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result(2 * _CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _disconnect(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if hasattr(self, "_client"):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._client.close(), _CLOSE_SECONDS)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def _may_pass(error: Exception) -> bool:
    """Return whether a later try may end otherwise. A time-out has two classes, which both come."""
    from nats.errors import ConnectionClosedError, Error, MaxPayloadError
    from nats.js.errors import APIError, NotFoundError

    if isinstance(error, NotFoundError | MaxPayloadError | ConnectionClosedError):
        return False
    if isinstance(error, APIError):
        return error.code is None or int(error.code) >= 500
    return isinstance(error, asyncio.TimeoutError | TimeoutError | OSError | Error)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _nats() -> Any:
    try:
        import nats
    except ImportError:
        raise MissingExtra("nats-py", "nats", "a connection to NATS") from None
    return nats
