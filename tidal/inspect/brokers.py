"""What is unwise about a NATS server, from what it says of itself on its monitoring port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tidal.inspect.findings import Finding, Severity
from tidal.schema.durations import NS_PER_SECOND

ABOUT_SERVER: Final = "/varz"
ABOUT_STREAMS: Final = "/jsz?config=true&accounts=true&streams=true"
VERSION_LEAST: Final = (2, 11)
REPLICAS_LEAST: Final = 3


def examine_broker(server: Mapping[str, Any], streams: Mapping[str, Any], url: str) -> tuple[Finding, ...]:
    """Return what is unwise about a server, from its answers to ABOUT_SERVER and ABOUT_STREAMS.

    Of a stream of any program: what is kept once is lost with its server.
    """
    return tuple(_examine(server, streams, url))


def _examine(server: Mapping[str, Any], streams: Mapping[str, Any], url: str) -> Iterator[Finding]:
    version = str(server.get("version", ""))
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < VERSION_LEAST:
        yield _risk("broker-old", url, f"nats-server {version}")
    config = _mapping(streams.get("config"))
    if not config:
        yield _risk("broker-streams", url, "JetStream is not enabled")
    elif not config.get("sync_always"):
        interval = config.get("sync_interval", 120 * NS_PER_SECOND)
        yield _risk("broker-sync", url, f"it syncs every {_seconds(interval)} s")
    single = sorted(
        str(_mapping(stream).get("name"))
        for account in _list(streams.get("account_details"))
        for stream in _list(_mapping(account).get("stream_detail"))
        if _replicas(stream) < REPLICAS_LEAST
    )
    if single:
        names = ", ".join(single[:3]) + (", ..." if len(single) > 3 else "")
        yield _risk("broker-replicas", url, f"on fewer than {REPLICAS_LEAST} servers: {names}")


def _replicas(stream: object) -> int:
    replicas = _mapping(_mapping(stream).get("config")).get("num_replicas", 1)
    return replicas if isinstance(replicas, int) else 1


def _seconds(interval: object) -> str:
    return f"{interval / NS_PER_SECOND:g}" if isinstance(interval, int) else "?"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _risk(code: str, url: str, what: str) -> Finding:
    return Finding(Severity.RISK, code, url, what)
