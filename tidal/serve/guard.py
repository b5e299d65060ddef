"""What every request passes: a request id, the Host, the peer, how many are under way, sizes and times.

It stands before routing and parsing, so nothing of a refused request is looked at.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection, MutableMapping
from typing import Any, Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidal.loopback import is_loopback, name_of
from tidal.meters import said
from tidal.page import LIVE_NAME
from tidal.serve.limits import ServiceLimits
from tidal.serve.problems import PROBLEM_TYPE, Refused, problem_bytes

ANY_HOST: Final = "*"
LIVENESS_PATH: Final = "/healthz"
READINESS_PATH: Final = "/readyz"
_FOR_EVERYBODY: Final = frozenset({LIVENESS_PATH, READINESS_PATH})
_POLLED: Final = f"/{LIVE_NAME}"  # once a second by each page that is open

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_CLOSE: Final = {"Connection": "close"}
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

_logger = logging.getLogger("tidal.serve")


class AnswerBroken(Exception):
    """An answer was under way and cannot be finished: the server closes the connection on it."""


class Guard:
    """The outermost part of the service, as ASGI middleware."""

    def __init__(
        self, app: ASGIApp, *, limits: ServiceLimits, hosts: Collection[str], loopback_only: bool
    ) -> None:
        self._app, self._limits, self._loopback_only = app, limits, loopback_only
        self._hosts = frozenset(host.lower() for host in hosts)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits)
        self._under_way += 1
        try:
            self._admit(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except Refused as refused:
            await exchange.refuse(refused.status, refused.code, refused.detail, refused.headers)
        except AnswerBroken:
            raise
        except Exception as error:
            about = said("request_failed", request_id=exchange.request_id)
            _logger.error("request %s failed", exchange.request_id, exc_info=error, extra=about)
            await exchange.fail()
        finally:
            self._under_way -= 1
            exchange.log()

    def _admit(self, scope: Scope) -> None:
        """Raise Refused for what no endpoint shall see."""
        if self._under_way > self._limits.requests:
            raise Refused(503, "too many requests are under way", headers={"Retry-After": "1", **_CLOSE})
        headers = _headers_of(scope)
        if scope["path"] not in _FOR_EVERYBODY:
            self._check_peer(scope, headers)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "send the body as it is, without Content-Encoding", headers=_CLOSE)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > self._limits.body_bytes:
            raise Refused(413, f"a body has at most {self._limits.body_bytes} bytes", headers=_CLOSE)

    def _check_peer(self, scope: Scope, headers: MutableMapping[bytes, bytes]) -> None:
        host = name_of(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._hosts and ANY_HOST not in self._hosts:
            raise Refused(421, "this service does not go by the name in Host", headers=_CLOSE)
        if self._loopback_only and not _is_loopback(scope.get("client")):
            raise Refused(403, "without tokens this service answers its own machine only", headers=_CLOSE)


class _Exchange:
    """One request and its answer: counted, timed, and answered once."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: ServiceLimits) -> None:
        self._scope, self._receive, self._send, self._limits = scope, receive, send, limits
        self.request_id = secrets.token_hex(8)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        self._began = time.perf_counter()
        self._received, self._body_ended = 0, False
        self._status = 0

    async def receive(self) -> Message:
        if self._body_ended:  # what follows is the client going away
            return await self._receive()
        left = self._began + self._limits.body_seconds - time.perf_counter()
        with anyio.move_on_after(left) as waited:
            message = await self._receive()
        if waited.cancelled_caught:
            raise Refused(
                408, f"the body did not come within {self._limits.body_seconds:g} s", headers=_CLOSE
            )
        self._received += len(message.get("body", b""))
        if self._received > self._limits.body_bytes:
            raise Refused(413, f"a body has at most {self._limits.body_bytes} bytes", headers=_CLOSE)
        self._body_ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}  # the page has a policy of its own
            own = [
                (b"x-request-id", self.request_id.encode()),
                *(it for it in _HEADERS if it[0] not in names),
            ]
            message = {**message, "headers": [*given, *own]}
        with anyio.move_on_after(self._limits.send_seconds) as waited:
            await self._send(message)
        if waited.cancelled_caught:
            raise AnswerBroken("the client takes nothing")

    async def refuse(self, status: int, code: str, detail: str, headers: dict[str, str]) -> None:
        if self._status:
            raise AnswerBroken(detail) from None
        body = problem_bytes(status, code, detail, self.request_id)
        fields = {"Content-Type": PROBLEM_TYPE, "Content-Length": str(len(body)), **headers}
        encoded = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})

    async def fail(self) -> None:
        text = "the service failed; its log says why, under this request id"
        await self.refuse(500, "internal", text, _CLOSE)

    def log(self) -> None:
        """Say what was asked and answered, in words of ours: no path, no header, no value of the client's."""
        method = self._scope["method"] if self._scope["method"] in _METHODS else "OTHER"
        route = getattr(self._scope.get("route"), "path", "-")
        holder = getattr(self._scope["state"].get("holder"), "name", "") or "-"
        fields = {
            "request_id": self.request_id,
            "method": method,
            "route": route,
            "status": self._status,
            "holder": holder,
            "seconds": time.perf_counter() - self._began,
        }
        text = "%(method)s %(route)s %(status)d %(seconds).4f s by %(holder)s, request %(request_id)s"
        polled = route == _POLLED and self._status == 200
        level = logging.DEBUG if polled else logging.INFO
        _logger.log(level, text, fields, extra=said("request", **fields))


def _headers_of(scope: Scope) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in (b"host", b"content-length", b"authorization", b"content-type") and name in found:
            raise Refused(400, f"the header {name.decode()} stands twice", headers=_CLOSE)
        found[name] = value
    return found


def _is_loopback(client: tuple[str, int] | None) -> bool:
    """Return whether a peer is on this machine; one without an address has a Unix socket."""
    if client is None:
        return True
    try:
        return is_loopback(client[0])
    except ValueError:
        return False
