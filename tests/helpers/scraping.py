"""Asking a metrics port, and reading what it says; a Prometheus to ask it."""

from __future__ import annotations

import http.client
import json
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

import tidal


def ask(
    address: str | None, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer; ConnectionRefusedError where nobody listens."""
    connection = http.client.HTTPConnection(address or "", timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask_json(address: str | None, path: str) -> tuple[int, Any]:
    status, _, body = ask(address, path)
    return status, json.loads(body)


def scrape(db: tidal.TidalDb) -> dict[str, float]:
    """Return each sample by its name and labels, as ``tidaldb_events_total{signal="view"}``; the label that
    all have is left out.
    """
    status, _, body = ask(db.metrics_address, "/metrics")
    assert status == 200
    return parsed(body.decode())


def parsed(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if sample.name.startswith("tidaldb_"):
                assert labels.pop("partition_id") == "0"
            shown = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found[sample.name + (f"{{{shown}}}" if shown else "")] = sample.value
    return found
