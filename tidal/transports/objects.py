"""A transport through a folder or an object store that all nodes can reach. Needs ``tidaldb[object]``.

    {prefix}/messages/{channel}/{time}-{sender}-{number}    a message, for as long as it is kept
    {prefix}/claims/{name}                                  a claim, for ever

Each message is an object, named by the time at which it was sent; in the name of a channel ``+`` stands for
``/``. Subscribers list what is new. The sender removes its messages after a while, and what other senders
that ended have left.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from tidal.errors import InvalidOption, MissingExtra, TransportClosed, TransportError
from tidal.replication.names import check_name, check_payload
from tidal.schema.durations import NS_PER_SECOND

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MAX_PAYLOAD: Final = 1 << 20
KEEP_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1

_TIME_DIGITS: Final = 16  # of ns, in hexadecimal: names in order of time
_SKEW_NS: Final = 15 * NS_PER_SECOND  # between the clocks of senders; later messages may have earlier names


class ObjectTransport:
    """Channels in an object store: ``obstore.store.LocalStore(folder)`` for a shared folder, ``S3Store``,
    ``GCSStore``, ``AzureStore`` or any other of obstore's.

    A message is there for ``keep_seconds``: who was away for longer asks for the log again. Each receiver
    lists its channel every ``poll_seconds``, which is what a message takes on its way; where requests cost
    money, choose a second or more. The clocks of the nodes may differ by 15 s.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str = "tidal",
        *,
        keep_seconds: float = KEEP_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        max_payload: int = MAX_PAYLOAD,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._obstore = _obstore()
        if not keep_seconds > 0.0 or not poll_seconds > 0.0:
            raise InvalidOption(f"keep_seconds={keep_seconds!r}, poll_seconds={poll_seconds!r}: above 0")
        self._store, self._prefix = store, check_name("prefix", prefix)
        self._keep_ns, self.poll_seconds = int(keep_seconds * NS_PER_SECOND), poll_seconds
        self._max_payload, self._clock = max_payload, clock
        self._sender, self._number = os.urandom(4).hex(), 0
        self._lock = threading.Lock()
        self._sent: deque[tuple[int, str]] = deque()
        self._cleaned: set[str] = set()
        self._subscriptions: set[_Polled] = set()
        self._closed = threading.Event()

    @property
    def max_payload(self) -> int:
        return self._max_payload

    def send(self, channel: str, payload: bytes) -> None:
        folder = self._folder(channel)
        check_payload(payload, self._max_payload)
        now = self._clock()
        with self._lock:
            self._check_open()
            self._number += 1
            path = f"{folder}/{now:0{_TIME_DIGITS}x}-{self._sender}-{self._number:08x}"
            first = folder not in self._cleaned
            self._cleaned.add(folder)
        with self._typed():
            self._obstore.put(self._store, path, bytes(payload))
        with self._lock:
            self._sent.append((now, path))
        self._remove_old(now, folder if first else None)

    def subscribe(self, channel: str) -> _Polled:
        folder = self._folder(channel)
        with self._lock:
            self._check_open()
        with self._typed():
            subscription = _Polled(self, folder)
        with self._lock:
            self._check_open()
            self._subscriptions.add(subscription)
        return subscription

    def claim(self, name: str, value: bytes) -> bytes:
        path = self._claim_path(name)
        from obstore.exceptions import AlreadyExistsError
        from obstore.store import LocalStore

        with self._typed():
            if isinstance(self._store, LocalStore) and self._store.prefix is not None:
                _claim_in_folder(Path(self._store.prefix), path, bytes(value))
            else:
                with contextlib.suppress(AlreadyExistsError):
                    self._obstore.put(self._store, path, bytes(value), mode="create")
            return bytes(self._obstore.get(self._store, path).bytes())

    def claimed(self, name: str) -> bytes | None:
        return self._read(self._claim_path(name))

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()

    # ------------------------------------------------------------------------------ for subscriptions

    def names_after(self, folder: str, after: str | None) -> list[str]:
        """Return the names of the messages in a folder, in order, of those above ``after``."""
        offset = None if after is None else f"{folder}/{after}"
        found: list[str] = []
        with self._typed():
            for batch in self._obstore.list(self._store, folder, offset=offset):
                found += [entry["path"].rpartition("/")[2] for entry in batch]
        return sorted(found)

    def read(self, folder: str, name: str) -> bytes | None:
        """Return a message, or None if it is gone."""
        return self._read(f"{folder}/{name}")

    def forget(self, subscription: _Polled) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)

    # ------------------------------------------------------------------------------ inside

    def _read(self, path: str) -> bytes | None:
        with self._typed():
            try:
                return bytes(self._obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def _claim_path(self, name: str) -> str:
        path = f"{self._prefix}/claims/{check_name('claim', name)}"
        with self._lock:
            self._check_open()
        return path

    def _folder(self, channel: str) -> str:
        return f"{self._prefix}/messages/{check_name('channel', channel).replace('/', '+')}"

    def _remove_old(self, now: int, folder: str | None) -> None:
        """Remove this sender's messages that were kept long enough, and in a folder those of all."""
        gone: list[str] = []
        with self._lock:
            while self._sent and now - self._sent[0][0] > self._keep_ns:
                gone.append(self._sent.popleft()[1])
        with contextlib.suppress(TransportError), self._typed():  # tried again by who begins next
            if folder is not None:
                limit = now - self._keep_ns - _SKEW_NS
                names = self.names_after(folder, None)
                gone += [f"{folder}/{name}" for name in names if sent_at(name) < limit]
            for path in gone:
                with contextlib.suppress(FileNotFoundError):
                    self._obstore.delete(self._store, path)

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise TransportError(f"the object store refused: {error}") from error

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise TransportClosed("the transport was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Polled:
    """A subscription: what is new in a folder of messages."""

    def __init__(self, transport: ObjectTransport, folder: str) -> None:
        self._transport, self._folder = transport, folder
        self._ended = threading.Event()
        self._waiting: deque[str] = deque()
        self._seen = set(transport.names_after(folder, None))
        self._newest = max(self._seen, default=None)

    @property
    def closed(self) -> bool:
        return self._ended.is_set() and not self._waiting

    def receive(self, timeout: float) -> bytes | None:
        give_up_at = time.monotonic() + timeout
        while True:
            while self._waiting:
                if (payload := self._transport.read(self._folder, self._waiting.popleft())) is not None:
                    return payload
            if self._ended.is_set():
                return None
            self._look()
            left = give_up_at - time.monotonic()
            pause = min(left, self._transport.poll_seconds)
            if not self._waiting and (left <= 0.0 or self._ended.wait(pause)):
                return None

    def _look(self) -> None:
        """Note the names that are new. Some time back, too: other senders' clocks may be behind."""
        after = 0 if self._newest is None else max(0, sent_at(self._newest) - _SKEW_NS)
        names = self._transport.names_after(self._folder, f"{after:0{_TIME_DIGITS}x}")
        new = [name for name in names if name not in self._seen]
        self._waiting.extend(new)
        self._seen = {*names}
        self._newest = max([*names, *([] if self._newest is None else [self._newest])], default=None)

    def close(self) -> None:
        self._ended.set()
        self._transport.forget(self)


def _claim_in_folder(root: Path, path: str, value: bytes) -> None:
    """Make a claim in a folder of this machine, unless it is there, and sync it.

    Its bytes are durable before they get the name: a power cut leaves no empty claim, which would be
    somebody's for ever. Object stores have made durable what they answer for.
    """
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    making = file.with_name(f"{file.name}.{os.urandom(8).hex()}")
    try:
        with open(making, "xb") as made:
            made.write(value)
            made.flush()
            os.fsync(made.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(making, file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            making.unlink()
    for folder in file.parents[: path.count("/") + 1]:
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sent_at(name: str) -> int:
    """Return the time in a message's name, in ns; 0 for a name that is none."""
    try:
        return int(name[:_TIME_DIGITS], 16)
    except ValueError:
        return 0


def _obstore() -> Any:
    try:
        import obstore
    except ImportError:
        raise MissingExtra("obstore", "object", "a transport through an object store") from None
    return obstore
