"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from fastapi import FastAPI, Response

import tidal
from tidal.db import TidalDb
from tidal.errors import InvalidOption
from tidal.loopback import LOOPBACK_HOSTS
from tidal.serve.endpoints import Endpoints, answer
from tidal.serve.entity import add_entity
from tidal.serve.events import add_events
from tidal.serve.guard import ANY_HOST, LIVENESS_PATH, READINESS_PATH, Guard
from tidal.serve.jobs import add_jobs
from tidal.serve.limits import ServiceLimits
from tidal.serve.live import add_page
from tidal.serve.openapi import openapi_document
from tidal.serve.problems import add_handlers
from tidal.serve.reads import add_reads
from tidal.serve.tokens import Scope, Tokens


def create_app(
    db: TidalDb,
    *,
    tokens: Tokens | None = None,
    hosts: Collection[str] = LOOPBACK_HOSTS,
    limits: ServiceLimits | None = None,
) -> FastAPI:
    """Return an application that answers for a database; serve it alone, or mount it within another.

    The database stays the caller's: open it before, close it after. Without ``tokens`` only callers on this
    machine are answered, and may do all. ``hosts`` are the names that the service goes by in the Host
    header; "*" is any, and taken only with tokens. Raises InvalidOption.
    """
    check_hosts(hosts, tokens)
    limits = limits or ServiceLimits()
    app = FastAPI(title="tidal", version=tidal.__version__, openapi_url=None, docs_url=None, redoc_url=None,
                  redirect_slashes=False)  # fmt: skip
    app.add_middleware(Guard, limits=limits, hosts=tuple(hosts), loopback_only=tokens is None)
    add_handlers(app)
    endpoints = Endpoints(app.router, tokens)
    add_reads(endpoints, db, limits)
    add_events(endpoints, db, limits)
    add_jobs(endpoints, db)
    add_entity(endpoints, db)  # after the jobs: what a path names first counts
    app.state.snapshots = add_page(app, endpoints, db)

    @cache
    def document() -> dict[str, Any]:
        return openapi_document(app, db.schema, endpoints.bodies, limits, secured=tokens is not None)

    def openapi() -> Response:
        """Return this document."""
        return answer(document())

    endpoints.add("GET", "/v1/openapi.json", openapi, Scope.READ, content={"application/json": {}})

    def ready() -> Response:
        """Return whether requests should come here: the database takes events and answers of now."""
        ready = db.health().ready
        return answer({"status": "ready" if ready else "not_ready"}, status=200 if ready else 503)

    json: dict[str, Any] = {"content": {"application/json": {}}}
    app.add_api_route(LIVENESS_PATH, alive, operation_id="alive", response_model=None, responses={200: json})
    app.add_api_route(
        READINESS_PATH, ready, operation_id="ready", response_model=None, responses={200: json, 503: json}
    )
    return app


def check_hosts(hosts: Collection[str], tokens: Tokens | None) -> None:
    """Raise InvalidOption for names that a service must not go by."""
    if isinstance(hosts, str) or not hosts:
        raise InvalidOption(f"hosts={hosts!r}: give a list of names, as {list(LOOPBACK_HOSTS)}")
    if ANY_HOST in hosts and tokens is None:
        raise InvalidOption('hosts "*" needs tokens: any page that a browser here shows could ask')


async def alive() -> Response:
    """Return that the process answers; nothing else is said to whom nobody knows."""
    return answer({"status": "ok"})
