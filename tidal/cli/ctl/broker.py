"""The monitoring port of a NATS server, asked for `tidalctl doctor --broker`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tidal.cli.service import fetch
from tidal.errors import UnreachableService, UsageError
from tidal.inspect import Finding
from tidal.inspect.brokers import ABOUT_SERVER, ABOUT_STREAMS, examine_broker


def ask_broker(url: str) -> tuple[Finding, ...]:
    """Return what is unwise about the server whose monitoring port has this URL.

    UsageError for what is no such URL, UnreachableService where nothing answers, or something else.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment) and parts.username is None
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or not plain:
        raise UsageError(f"{url}: write the URL of the monitoring port, as http://127.0.0.1:8222")

    def ask(path: str) -> dict[str, Any]:
        status, body = fetch(parts.hostname or "", port, parts.scheme == "https", path, {})
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if status != 200 or not isinstance(found, dict):
            raise UnreachableService(f"{url} did not answer as the monitoring port of a nats-server does")
        return found

    return examine_broker(ask(ABOUT_SERVER), ask(ABOUT_STREAMS), url)
