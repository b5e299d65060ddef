"""The live page on the metrics port, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from tidal.errors import InvalidOption, SchemaError, StoreClosed
from tidal.metrics.http import JSON, Answer, Request, Route
from tidal.page import LIVE_NAME, Snapshots, html, policy

PAGE_PATH: Final = "/"
LIVE_PATH: Final = f"/{LIVE_NAME}"

_FIELDS_MAX: Final = 8


def live_routes(snapshots: Snapshots) -> Mapping[str, Route]:
    """Return what is answered for the page, by path."""

    def page(request: Request) -> Answer:
        return Answer(200, "text/html; charset=utf-8", html(), policy())

    def live(request: Request) -> Answer:
        try:
            asked = parse_qs(request.query, max_num_fields=_FIELDS_MAX)
            signals = asked.get("signal", [])
            found = snapshots.take(signals[0] if signals else None, asked.get("by", []))
        except StoreClosed:
            return _problem(503, "the database is closed")
        except (SchemaError, InvalidOption, ValueError) as error:
            return _problem(422, str(error))
        return Answer(200, JSON, json.dumps(found, allow_nan=False).encode())

    return {PAGE_PATH: page, LIVE_PATH: live}


def _problem(status: int, detail: str) -> Answer:
    return Answer(status, JSON, json.dumps({"status": status, "detail": detail}).encode())
