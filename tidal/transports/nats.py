"""A transport through NATS JetStream, one server or a cluster. Needs ``tidaldb[nats]``.

    stream {prefix}_messages, subjects {prefix}.m.{channel}    what was sent lately; the oldest goes first
    stream {prefix}_claims,   subjects {prefix}.c.{name}       claims, for ever

In a subject ``.`` stands for the ``/`` of a name and ``=`` for its ``.``. What the broker has stored releases
nothing: a leader keeps its log until its followers have it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from tidal.errors import InvalidOption, TransportClosed, TransportError
from tidal.replication.names import check_name, check_payload
from tidal.transports.jetstream import RETRY_SECONDS, JetStream
from tidal.transports.memory import QUEUE_BYTES, MessageQueue

MAX_PAYLOAD: Final = (512 << 10) + 4096  # a piece of 512 KiB, and what is said of it
KEEP_SECONDS: Final = 600.0
KEEP_BYTES: Final = 1 << 30
REPLICAS: Final = (1, 3, 5)

_STORE_SECONDS = 1.0  # for which send() waits until a message is stored
_UNDER_WAY = 32  # messages that the server has not answered yet
_DUPLICATE_SECONDS = 120.0  # for which the server knows a message again that is sent twice
_ROOM_SECONDS = 0.02  # between looks whether a slow receiver has room
_DRAIN_SECONDS = 5.0
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


class NatsTransport:
    """Channels in a JetStream stream, which is made where there is none.

    A message is there for ``keep_seconds``, and the newest ``keep_bytes`` are: who was away for longer asks
    for the log again. ``replicas``: 3 in a cluster that is to survive the loss of a server. ``send`` returns
    once the message is stored, or after a second, while the servers cannot, as long as fewer than 32 wait;
    one that they do not take within ``retry_seconds`` is counted in ``lost``. ``options``: those of
    ``nats.connect``.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        prefix: str = "tidal",
        *,
        replicas: int = 1,
        keep_seconds: float = KEEP_SECONDS,
        keep_bytes: int = KEEP_BYTES,
        retry_seconds: float = RETRY_SECONDS,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._prefix = check_prefix(prefix)
        if not keep_seconds > 0.0 or keep_bytes <= MAX_PAYLOAD:
            raise InvalidOption(f"{keep_seconds=!r}, {keep_bytes=!r}: above 0, and above {MAX_PAYLOAD}")
        check_replicas(replicas)
        self.lost = 0
        self._lock = threading.Lock()
        self._room = threading.Semaphore(_UNDER_WAY)
        self._sender, self._number = os.urandom(8).hex(), 0
        self._sending: set[concurrent.futures.Future[int]] = set()
        self._subscriptions: dict[MessageQueue, concurrent.futures.Future[None]] = {}
        self._server = JetStream(servers, retry_seconds=retry_seconds, options=options)
        try:
            self._server.run(self._make_streams(replicas, keep_seconds, keep_bytes))
        except BaseException:
            self._server.close()
            raise

    @property
    def max_payload(self) -> int:
        return min(MAX_PAYLOAD, self._server.max_payload)

    def send(self, channel: str, payload: bytes) -> None:
        subject = self._subject("m", "channel", channel)
        check_payload(payload, self.max_payload)
        self._check_open()
        if not self._room.acquire(timeout=self._server.retry_seconds):
            raise TransportError(f"{_UNDER_WAY} messages wait for the NATS server; it does not answer")
        try:
            with self._lock:
                self._number += 1
                number = self._number
            message_id = f"{self._sender}-{number}"
            sending = self._server.start(self._server.publish(subject, bytes(payload), message_id))
        except BaseException:
            self._room.release()
            raise
        with self._lock:
            self._sending.add(sending)
        sending.add_done_callback(self._sent)
        if concurrent.futures.wait([sending], _STORE_SECONDS).done:
            if sending.cancelled():
                raise TransportClosed("the transport was closed")
            if (error := sending.exception()) is not None:
                raise TransportError(f"the NATS server has not stored it: {error}") from error

    def subscribe(self, channel: str) -> MessageQueue:
        subject = self._subject("m", "channel", channel)
        self._check_open()
        newest = self._server.run(self._server.state(self._messages)).last_seq
        queue = MessageQueue(channel, QUEUE_BYTES, self._forget)
        with self._lock:
            self._subscriptions[queue] = self._server.start(self._fill(queue, subject, newest + 1))
        return queue

    def claim(self, name: str, value: bytes) -> bytes:
        subject = self._subject("c", "claim", name)
        self._check_open()
        return self._server.run(self._server.put_first(self._claims, subject, bytes(value)))

    def claimed(self, name: str) -> bytes | None:
        subject = self._subject("c", "claim", name)
        self._check_open()
        return self._server.run(self._server.newest(self._claims, subject))

    def close(self) -> None:
        with self._lock:
            sending, queues = list(self._sending), list(self._subscriptions)
        if not self._server.closed:
            concurrent.futures.wait(sending, _DRAIN_SECONDS)
        for queue in queues:
            queue.close()
        self._server.close()

    # ------------------------------------------------------------------------------ inside

    @property
    def _messages(self) -> str:
        return f"{self._prefix}_messages"

    @property
    def _claims(self) -> str:
        return f"{self._prefix}_claims"

    def _subject(self, group: str, what: str, name: str) -> str:
        return f"{self._prefix}.{group}." + check_name(what, name).replace(".", "=").replace("/", ".")

    async def _make_streams(self, replicas: int, keep_seconds: float, keep_bytes: int) -> None:
        from nats.js.api import StreamConfig

        await self._server.make_stream(
            StreamConfig(
                name=self._messages,
                subjects=[f"{self._prefix}.m.>"],
                num_replicas=replicas,
                max_age=keep_seconds,
                max_bytes=keep_bytes,
                duplicate_window=min(_DUPLICATE_SECONDS, keep_seconds),
            )
        )
        await self._server.make_stream(
            StreamConfig(
                name=self._claims,
                subjects=[f"{self._prefix}.c.>"],
                num_replicas=replicas,
                deny_delete=True,
                deny_purge=True,
            )
        )

    async def _fill(self, queue: MessageQueue, subject: str, first_seq: int) -> None:
        """Put the messages of a subject into a queue; a slow receiver is waited for, by it alone."""
        while True:
            with contextlib.suppress(TransportError):  # a stream that lost its end; who missed something asks
                async with contextlib.aclosing(
                    self._server.read(self._messages, subject, first_seq)
                ) as messages:
                    async for message in messages:
                        while not queue.put(message.payload):
                            await asyncio.sleep(_ROOM_SECONDS)
                return
            with contextlib.suppress(Exception):  # a server that is gone again: read() says so, and waits
                first_seq = (await self._server.state(self._messages)).last_seq + 1

    def _sent(self, sending: concurrent.futures.Future[int]) -> None:
        self._room.release()
        with self._lock:
            self._sending.discard(sending)
            self.lost += sending.cancelled() or sending.exception() is not None

    def _forget(self, queue: MessageQueue) -> None:
        with self._lock:
            filling = self._subscriptions.pop(queue, None)
        if filling is not None:
            filling.cancel()

    def _check_open(self) -> None:
        if self._server.closed:
            raise TransportClosed("the transport was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_prefix(prefix: object) -> str:
    """Return what the names of streams and subjects begin with, or raise InvalidOption."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise InvalidOption(f"prefix {prefix!r}: write 1 to 32 of A-Z a-z 0-9 _ -")
    return prefix


def check_replicas(replicas: object) -> None:
    """Raise InvalidOption for a number of servers that a stream cannot be on."""
    if type(replicas) is not int or replicas not in REPLICAS:
        raise InvalidOption(f"replicas={replicas!r}: choose 1, 3 or 5, as many as there are servers at most")
