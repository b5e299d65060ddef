"""A transport within one process: for tests, for examples, and for several stores in one program."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tidal.errors import TransportClosed
from tidal.replication.names import check_name, check_payload

MAX_PAYLOAD: Final = 1 << 20
QUEUE_BYTES: Final = 64 << 20


class InProcessTransport:
    """Channels in memory. Nothing is lost, but where a receiver is slow.

    A subscription holds ``queue_bytes`` of messages that wait; what comes beyond is dropped and counted in
    ``dropped``.

    >>> transport = InProcessTransport()
    >>> subscription = transport.subscribe("log/0/0")
    >>> transport.send("log/0/0", b"hello")
    >>> subscription.receive(timeout=1.0)
    b'hello'
    >>> transport.claim("epoch/1", b"a"), transport.claim("epoch/1", b"b")
    (b'a', b'a')
    """

    def __init__(self, *, max_payload: int = MAX_PAYLOAD, queue_bytes: int = QUEUE_BYTES) -> None:
        self.dropped = 0
        self._max_payload, self._queue_bytes = max_payload, queue_bytes
        self._lock = threading.Lock()
        self._subscriptions: dict[str, list[MessageQueue]] = {}
        self._claims: dict[str, bytes] = {}
        self._closed = False

    @property
    def max_payload(self) -> int:
        return self._max_payload

    def send(self, channel: str, payload: bytes) -> None:
        check_name("channel", channel)
        check_payload(payload, self._max_payload)
        with self._lock:
            self._check_open()
            for queue in self._subscriptions.get(channel, ()):
                self.dropped += not queue.put(bytes(payload))

    def subscribe(self, channel: str) -> MessageQueue:
        check_name("channel", channel)
        with self._lock:
            self._check_open()
            queue = MessageQueue(channel, self._queue_bytes, self._forget)
            self._subscriptions.setdefault(channel, []).append(queue)
            return queue

    def claim(self, name: str, value: bytes) -> bytes:
        check_name("claim", name)
        with self._lock:
            self._check_open()
            return self._claims.setdefault(name, bytes(value))

    def claimed(self, name: str) -> bytes | None:
        check_name("claim", name)
        with self._lock:
            self._check_open()
            return self._claims.get(name)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            queues = [queue for of_channel in self._subscriptions.values() for queue in of_channel]
            self._subscriptions.clear()
        for queue in queues:
            queue.end()

    def _forget(self, queue: MessageQueue) -> None:
        with self._lock:
            if queue in (of_channel := self._subscriptions.get(queue.channel, [])):
                of_channel.remove(queue)

    def _check_open(self) -> None:
        if self._closed:
            raise TransportClosed("the transport was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MessageQueue:
    """A subscription: messages that wait for one receiver. ``forget`` is called once it is closed."""

    def __init__(self, channel: str, queue_bytes: int, forget: Callable[[MessageQueue], None]) -> None:
        self.channel = channel
        self._room, self._forget = queue_bytes, forget
        self._waiting: collections.deque[bytes] = collections.deque()
        self._changed = threading.Condition()
        self._ended = False

    @property
    def closed(self) -> bool:
        return self._ended and not self._waiting

    def put(self, payload: bytes) -> bool:
        """Take a message, and return True; False where there is no room for it."""
        with self._changed:
            if self._ended or len(payload) > self._room:
                return False
            self._room -= len(payload)
            self._waiting.append(payload)
            self._changed.notify()
            return True

    def receive(self, timeout: float) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout)
            if not self._waiting:
                return None
            payload = self._waiting.popleft()
            self._room += len(payload)
            return payload

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        self._forget(self)
        self.end()
