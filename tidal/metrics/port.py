"""The metrics port of a database: its server, and what it answers where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from tidal.build import __version__, build_hash
from tidal.db import TidalDb
from tidal.errors import InvalidOption, StoreClosed
from tidal.health import Health
from tidal.loopback import LOOPBACK_HOSTS
from tidal.metrics.address import Metrics
from tidal.metrics.collector import Exposition
from tidal.metrics.http import JSON, Answer, Request, Route, Server
from tidal.metrics.live import live_routes
from tidal.page import Snapshots

METRICS_PATH: Final = "/metrics"
HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"


class MetricsPort:
    """A server that listens from the moment it is made, and answers for a database once serve() is called."""

    def __init__(self, where: Metrics) -> None:
        hosts = None if where.remote else (*LOOPBACK_HOSTS, where.host.lower())
        try:
            self._server = Server(where.host, where.port, hosts=hosts)
        except OSError as error:
            raise InvalidOption(f"metrics={where.address!r}: nothing can be served there: {error}") from error

    @property
    def address(self) -> str:
        """HOST:PORT, the port as it was given by the system."""
        return self._server.address

    def serve(self, shards: Mapping[int, TidalDb], health: Callable[[], Health]) -> None:
        """Answer for a database that is these stores, in a thread of its own; the page is of one alone."""
        answered = routes(shards, health)
        if len(shards) > 1:
            self._server.start(answered)
            return
        snapshots = Snapshots(*shards.values())
        self._server.start({**answered, **live_routes(snapshots)}, tick=snapshots.sample)

    def close(self) -> None:
        """Stop answering and listening."""
        self._server.close()

    def abandon(self) -> None:
        """Let go what the child of a fork has of it."""
        self._server.abandon()


def listen(where: Metrics) -> MetricsPort:
    """Return a port that listens; InvalidOption where it cannot, MissingExtra without prometheus-client."""
    Exposition.check_installed()
    return MetricsPort(where)


def routes(shards: Mapping[int, TidalDb], health: Callable[[], Health]) -> Mapping[str, Route]:
    """Return what is answered for a database that is these stores, by path."""
    exposition = Exposition(shards)

    def metrics(request: Request) -> Answer:
        try:
            media_type, text = exposition.text(request.headers.get("accept", ""))
        except StoreClosed:
            return Answer(503, "text/plain; charset=utf-8", b"the database is closed\n")
        return Answer(200, media_type, text)

    def healthz(request: Request) -> Answer:
        return health_answer(health, uptime())

    def readyz(request: Request) -> Answer:
        return health_answer(health, uptime(), ready=True)

    def uptime() -> float:
        return min(db._watch.uptime for db in shards.values())

    return {METRICS_PATH: metrics, HEALTH_PATH: healthz, READY_PATH: readyz}


def health_answer(look: Callable[[], Health], seconds: float, *, ready: bool = False) -> Answer:
    """Return the health of a database as JSON: status 200 where it is well, or at least ready, else 503.
    ``seconds``: since it was opened.
    """
    body: dict[str, Any] = {"version": __version__, "build_hash": build_hash()}
    try:
        health = look()
    except StoreClosed:
        body |= {"status": "closed", "ready": False, "uptime_seconds": seconds, "reasons": []}
        return Answer(503, JSON, json.dumps(body).encode())
    reasons = [{"code": reason.code, "message": reason.message} for reason in health.reasons]
    status = "ok" if health.ok else "unhealthy"
    body = {"status": status, "ready": health.ready, "uptime_seconds": seconds, **body, "reasons": reasons}
    good = health.ready if ready else health.ok
    return Answer(200 if good else 503, JSON, json.dumps(body).encode())
