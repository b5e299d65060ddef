"""The live page on the metrics port."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import tidal
from tidal.page import html, policy

pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()


@pytest.fixture
def db() -> Iterator[tidal.TidalDb]:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        yield db


def get(db: tidal.TidalDb, path: str, **headers: str) -> tuple[int, Any, bytes]:
    request = urllib.request.Request(f"http://{db.metrics_address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers, refused.read()


def test_the_page_and_what_it_shows(db: tidal.TidalDb) -> None:
    db.signal("like", "lamp", 2.0)
    status, headers, body = get(db, "/")
    assert (status, body) == (200, html())
    assert headers.get_all("Content-Security-Policy") == [policy()]
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    status, headers, body = get(db, "/live.json?signal=like&by=score&by=count.all")
    found = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert [(top["by"], top["rows"][0]["value"]) for top in found["tops"]] == [
        ("score", 2.0),
        ("count.all", 1),
    ]
    assert found["store"] is None and found["jobs"] == []


@pytest.mark.parametrize("query", ["signal=lik", "by=nothing", "&".join(["by=score"] * 9)])
def test_what_cannot_be_shown_is_said(db: tidal.TidalDb, query: str) -> None:
    status, headers, body = get(db, f"/live.json?{query}")
    assert (status, headers["Content-Type"]) == (422, "application/json")
    assert json.loads(body)["detail"]


def test_a_page_of_another_site_gets_nothing(db: tidal.TidalDb) -> None:
    for path in ("/", "/live.json"):
        assert get(db, path, Host="evil.example")[0] == 421
