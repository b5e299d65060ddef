"""Where a service may listen, and how it runs: one process, uvicorn, and timers for those who dawdle."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tidal.errors import InvalidOption
from tidal.loopback import is_loopback_host
from tidal.serve.limits import ServiceLimits
from tidal.serve.tokens import Tokens

SHUTDOWN_SECONDS: Final = 5
BACKLOG: Final = 128


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form: the certificate with its chain, and its key."""

    certificate: Path
    key: Path


def check_place(host: str, port: int, *, tokens: Tokens | None, tls: Tls | None, behind_proxy: bool) -> None:
    """Raise InvalidOption where a service would be reachable from other machines unprotected.

    Beyond loopback there must be tokens, and TLS or a proxy in front that has it: else tokens could be read
    on the way.
    """
    if not 0 <= port <= 65535:
        raise InvalidOption(f"port={port}: choose one from 0 (any that is free) to 65535")
    if is_loopback_host(host):
        return
    if tokens is None:
        raise InvalidOption(
            f"{host} is not only this machine, and there are no tokens: give a file of tokens"
        )
    if tls is None and not behind_proxy:
        raise InvalidOption(
            f"{host} is not only this machine, and tokens would travel unencrypted: give a certificate and "
            "its key, or say that a proxy with TLS stands in front"
        )


class Service:
    """A service that listens from the moment it is made, and answers while run() runs."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        limits: ServiceLimits | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Listen at an address that check_place() has passed. Raises OSError."""
        limits = limits or ServiceLimits()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        config = uvicorn.Config(
            app,
            http=_protocol(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # who asks is who is connected, whatever a header says
            server_header=False,
            h11_max_incomplete_event_size=limits.header_bytes,
            timeout_keep_alive=max(1, round(limits.idle_seconds)),
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
        self._server = _Server(config)
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        self.url = f"http{'' if tls is None else 's'}://{shown}:{self._socket.getsockname()[1]}"

    def run(self) -> None:
        """Answer until stop(), SIGTERM or SIGINT; then let answers under way end, 5 s at most."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Have run() return; from any thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Stop listening, where run() never ran."""
        self._socket.close()


class _Server(uvicorn.Server):
    """Leaves what comes after a signal to the caller, who has a database to close."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.should_exit = True


def _protocol(limits: ServiceLimits) -> type[H11Protocol]:
    """Return the protocol of a connection, with a limit on how many there are, and on the time for a request
    to begin. uvicorn itself waits for ever for the rest of a header.
    """

    class Timed(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._await_head(limits.header_seconds)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._await_head(limits.idle_seconds + limits.header_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._cancel_head()

        def _await_head(self, seconds: float) -> None:
            self._cancel_head()
            self._head_timer = self.loop.call_later(seconds, self._head_is_late)

        def _cancel_head(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()

        def _head_is_late(self) -> None:
            if self.conn.their_state is h11.IDLE:
                self.transport.abort()

    return Timed
