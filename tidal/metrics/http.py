"""A small HTTP server for few readers: GET, one request a connection, one thread for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

from tidal.loopback import LOOPBACK_HOSTS, name_of
from tidal.meters import said
from tidal.records import record

HEAD_BYTES_MAX: Final = 16_384
CONNECTIONS_MAX: Final = 64
JSON: Final = "application/json"
SECONDS: Final = 10.0  # for a request to come, and again for its answer to be taken
BACKLOG: Final = 64
TICK_SECONDS: Final = 2.0

_REASONS: Final = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    421: "Misdirected Request", 422: "Unprocessable Content", 500: "Internal Server Error",
    503: "Service Unavailable",
}  # fmt: skip
_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_logger = logging.getLogger(__name__)


@record
class Request:
    """What is asked: ``query`` is what follows the path's question mark, headers go by their names in lower
    case.
    """

    path: str
    query: str
    headers: Mapping[str, str]


@record
class Answer:
    """What is answered. ``policy`` is its Content-Security-Policy: for all but a page, nothing may run."""

    status: int
    media_type: str
    body: bytes
    policy: str = _POLICY


Route = Callable[[Request], Answer]  # called in the server's thread: while it runs nobody else is answered


class Server:
    """Listens from the moment it is made, and answers from start() to close().

    ``hosts``: the names in a Host header that are answered, any where None: a page of another site that a
    browser here shows can make its own name lead to this machine, but cannot go by another. Raises OSError
    where it cannot listen.
    """

    def __init__(self, host: str, port: int, *, hosts: tuple[str, ...] | None = LOOPBACK_HOSTS) -> None:
        self._hosts = hosts
        self._routes: Mapping[str, Route] = {}
        self._tick: Callable[[], None] | None = None
        self._process = os.getpid()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        self.address = f"{shown}:{self._socket.getsockname()[1]}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()

    def start(self, routes: Mapping[str, Route], *, tick: Callable[[], None] | None = None) -> None:
        """Answer from now on, in a thread of its own, which calls ``tick`` every TICK_SECONDS, too."""
        self._routes, self._tick = routes, tick
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="tidal-metrics", daemon=True)
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        """Stop answering and listening; return once the thread has ended. A second call does nothing."""
        if os.getpid() != self._process:
            return
        loop, stop = self._loop, self._stop
        if self._thread is not None and self._thread.is_alive() and loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(stop.set)
            self._thread.join()
        self._socket.close()

    def abandon(self) -> None:
        """Close the socket that the child of a fork has inherited."""
        self._socket.close()

    # ------------------------------------------------------------------------------ the thread

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception:
            about = said("metrics_ended", address=self.address)
            _logger.exception("the metrics at %s are served no more", self.address, extra=about)
        finally:
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=HEAD_BYTES_MAX)
        ready.set()
        try:
            while not await self._stopped_within(TICK_SECONDS):
                self._call_tick()
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _stopped_within(self, seconds: float) -> bool:
        assert self._stop is not None
        if self._tick is None:
            await self._stop.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    def _call_tick(self) -> None:
        try:
            if self._tick is not None:
                self._tick()
        except Exception:
            text, about = "what is called every %g s failed, and is called no more", said("tick_failed")
            _logger.exception(text, TICK_SECONDS, extra=about)
            self._tick = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= CONNECTIONS_MAX:
                await self._exchange(reader, writer)
        except (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # of the client's making, or the end of the server
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        method, answer = self._answer(head)
        writer.write(_encoded(answer, with_body=method != "HEAD"))
        async with asyncio.timeout(SECONDS):
            await writer.drain()
            writer.write_eof()
            while await reader.read(HEAD_BYTES_MAX):
                pass  # until the client has closed: it has all of the answer then

    def _answer(self, head: bytes) -> tuple[str, Answer]:
        try:
            method, request = parse_head(head)
        except ValueError:
            return "", _text(400, "no request of HTTP/1")
        if method not in ("GET", "HEAD"):
            return method, _text(405, "only GET")
        if self._hosts is not None and name_of(request.headers.get("host", "")) not in self._hosts:
            return method, _text(421, "this server does not go by the name in Host")
        if (route := self._routes.get(request.path)) is None:
            return method, _text(404, f"there is {', '.join(self._routes)}")
        try:
            return method, route(request)
        except Exception:
            _logger.exception("no answer could be made", extra=said("no_answer", path=request.path))
            return method, _text(500, "no answer could be made; the log of the process says why")


def parse_head(head: bytes) -> tuple[str, Request]:
    """Return the method and what is asked, of the bytes up to the empty line; ValueError for no HTTP/1."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    if not version.startswith("HTTP/1.") or not target.startswith("/"):
        raise ValueError("no HTTP/1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name.lower() in headers:  # of two hosts it would be one of them that counts
            raise ValueError("no header, or one twice")
        headers[name.lower()] = value.strip(" \t")
    path, _, query = target.partition("?")
    return method, Request(path, query, headers)


def _text(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode() + b"\n")


def _encoded(answer: Answer, *, with_body: bool) -> bytes:
    fields = {
        "Content-Type": answer.media_type,
        "Content-Length": str(len(answer.body)),
        "Cache-Control": "no-store",
        "Content-Security-Policy": answer.policy,
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
        **({"Allow": "GET, HEAD"} if answer.status == 405 else {}),
    }
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (answer.body if with_body else b"")
