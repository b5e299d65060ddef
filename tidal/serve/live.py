"""The live page: a file that tells nothing, and beside it what it shows, for who may read."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response
from pydantic import Field

from tidal.db import TidalDb
from tidal.page import LIVE_NAME, Snapshots, html, policy
from tidal.serve.endpoints import JSON_TYPE, Endpoints, answer
from tidal.serve.tokens import Scope
from tidal.serve.values import MeasureName, SignalName, Strict

PAGE_PATH: Final = "/"
LIVE_PATH: Final = f"/{LIVE_NAME}"
HTML_TYPE: Final = "text/html"

_DOWNLOAD: Final = "v1/export/jobs/{id}/download"  # relative: the service may be mounted anywhere


class LiveQuery(Strict):
    """Which rankings: of a signal type, by up to four measures."""

    signal: SignalName | None = None
    by: list[MeasureName] = Field(default_factory=list, max_length=4)


def add_page(app: FastAPI, endpoints: Endpoints, db: TidalDb) -> Snapshots:
    """Add the page and its endpoint; return what looks at the database for them."""
    snapshots = Snapshots(db, download=_DOWNLOAD)

    def live(request: Request, query: Annotated[LiveQuery, Query()]) -> Response:
        """Return what the live page shows: rates, rankings, the state of log, checkpoint and disk. Export
        jobs only for a token that may export.
        """
        jobs = Scope.EXPORT in request.state.holder.scopes
        return answer(snapshots.take(query.signal, query.by, jobs=jobs))

    endpoints.add("GET", LIVE_PATH, live, Scope.READ, content={JSON_TYPE: {}}, problems=(422,))
    app.add_api_route(PAGE_PATH, page, operation_id="page", response_model=None,
                      responses={200: {"content": {HTML_TYPE: {}}}})  # fmt: skip
    return snapshots


async def page() -> Response:
    """Return the live page; what it shows it asks for itself, with a token where there are tokens."""
    return Response(html(), 200, {"Content-Security-Policy": policy()}, HTML_TYPE)
