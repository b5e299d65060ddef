"""A service without a socket, or with one, and the tokens of its callers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastapi import FastAPI
from starlette.testclient import TestClient

import tidal
from tidal.serve import Scope, ServiceLimits, Tokens, create_app
from tidal.serve.listening import Service

MINUTE: Final = 60 * 10**9
BEGAN: Final = 1_700_000_000 * 10**9
NOW: Final = BEGAN + 90 * MINUTE
SECRETS: Final = {scope: f"{scope}-{'x' * 24}" for scope in Scope}
ALL_SCOPES: Final = "all-" + "x" * 24
TOKENS: Final = Tokens(
    [*((scope, [scope], secret) for scope, secret in SECRETS.items()), ("all", list(Scope), ALL_SCOPES)]
)
SCHEMA: Final = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("like", half_life=("1d", "30d"), windows=("1h",), signed=True)
    .signal("follow", kind="user", half_life="7d")
    .build()
)


@contextmanager
def serving(app: FastAPI, limits: ServiceLimits | None = None) -> Iterator[Service]:
    """An application on a port of this machine."""
    service = Service(app, "127.0.0.1", 0, limits=limits)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(30)
        assert not thread.is_alive()


def bearer(secret: str = ALL_SCOPES) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def caller(app: FastAPI, *, secret: str | None = ALL_SCOPES, peer: str = "127.0.0.1") -> TestClient:
    """A client on a machine, with a token; errors of the service are answers, as over a socket."""
    headers = {} if secret is None else bearer(secret)
    return TestClient(
        app, "http://localhost", headers=headers, client=(peer, 5000), raise_server_exceptions=False
    )


@contextmanager
def service(db: tidal.TidalDb, **options: Any) -> Iterator[TestClient]:
    """A caller who may do all. One event loop serves all of its requests."""
    with caller(create_app(db, **{"tokens": TOKENS, **options})) as client:
        yield client
