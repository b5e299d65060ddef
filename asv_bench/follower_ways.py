"""Two ways to reach a follower that is measured: in this process, and over JetStream in one of its own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

import tidal
from tidal.replication import Transport
from tidal.transports import InProcessTransport
from tidal.transports.nats import NatsTransport

LOOK_SECONDS: Final = 0.0005  # between two looks at what a follower answers from
KEEP_BYTES: Final = 64 << 20  # of each measurement's stream, which the server sets aside
NAME: Final = "follower"

Seen = list[tuple[int, float]]  # (sequence, when by the machine's clock), ascending


class Follower(Protocol):
    """A follower that is about to follow."""

    def start(self) -> None:
        """Open it; return once it follows."""

    def seen(self, seq: int) -> Seen:
        """Return when its reads answered from where, once it is at this sequence."""


class Way(Protocol):
    """How followers are reached."""

    def transport(self) -> Transport: ...

    def follower(self, transport: Transport, path: Path) -> AbstractContextManager[Follower]: ...


class Watched:
    """A follower in this process, whose place is looked at all the time once ``seen`` is wanted."""

    def __init__(self, transport: Transport, path: Path) -> None:
        self._transport, self._path = transport, path
        self._stack = ExitStack()
        self._ended = threading.Event()
        self._seen: Seen = []

    def start(self) -> None:
        db = tidal.open_follower(self._path, self._transport, name=NAME, checkpoint_bytes=None)
        self._db = self._stack.enter_context(db)
        thread = threading.Thread(target=self._look)
        self._stack.callback(thread.join)
        self._stack.callback(self._ended.set)
        thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            seq = self._db.last_seq
            if not self._seen or seq > self._seen[-1][0]:
                self._seen.append((seq, time.monotonic()))

    def seen(self, seq: int) -> Seen:
        while not self._seen or self._seen[-1][0] < seq:
            time.sleep(LOOK_SECONDS)
        return self._seen

    def close(self) -> None:
        self._stack.close()


class InProcess:
    """Leader and follower are threads of one process."""

    def transport(self) -> Transport:
        return InProcessTransport()

    @contextmanager
    def follower(self, transport: Transport, path: Path) -> Iterator[Follower]:
        watched = Watched(transport, path)
        try:
            yield watched
        finally:
            watched.close()


class OverJetStream:
    """The follower is another process."""

    def __init__(self, url: str) -> None:
        self._url, self._number = url, 0

    def transport(self) -> Transport:
        self._number += 1
        return NatsTransport(self._url, self._prefix, keep_bytes=KEEP_BYTES)

    @property
    def _prefix(self) -> str:
        return f"bench{self._number}"

    @contextmanager
    def follower(self, transport: Transport, path: Path) -> Iterator[Follower]:
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_follow, args=(theirs, self._url, self._prefix, path))
        process.start()
        ours.recv()  # it has imported what it needs, and has a connection
        try:
            yield Remote(ours)
        finally:
            ours.send(None)
            process.join()


class Remote:
    """A follower in another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def start(self) -> None:
        self._pipe.send(0)
        self._pipe.recv()

    def seen(self, seq: int) -> Seen:
        self._pipe.send(seq)
        found: Seen = self._pipe.recv()
        return found


def _follow(pipe: Connection, url: str, prefix: str, path: Path) -> None:
    """What runs in the other process: 0 starts, a sequence asks what was seen, None ends."""
    with NatsTransport(url, prefix) as transport:
        watched = Watched(transport, path)
        pipe.send("ready")
        while (asked := pipe.recv()) is not None:
            if asked == 0:
                watched.start()
            pipe.send(None if asked == 0 else watched.seen(asked))
        watched.close()
