"""The live page of a service: its file for everybody, what it shows for who may see it."""

from __future__ import annotations

import logging

import pytest
from servicekit import SECRETS, TOKENS, bearer, caller
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import tidal
from tidal.page import html, policy
from tidal.serve import Scope, create_app


def test_the_file_is_for_everybody_and_tells_nothing(db: tidal.TidalDb) -> None:
    db.signal("view", "a-name-of-the-store")
    answer = caller(create_app(db, tokens=TOKENS), secret=None).get("/")
    assert answer.status_code == 200 and answer.content == html()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers.get_list("content-security-policy") == [policy()]
    assert answer.headers["cache-control"] == "no-store"
    assert "a-name-of-the-store" not in answer.text


def test_without_tokens_other_machines_do_not_get_it(db: tidal.TidalDb) -> None:
    assert caller(create_app(db), secret=None, peer="192.0.2.1").get("/").status_code == 403


def test_what_it_shows_is_of_the_ranking_that_is_asked_for(db: tidal.TidalDb, client: TestClient) -> None:
    db.ingest(signal="like", entity_id=["a", "b", "a"])
    default = client.get("/live.json").json()
    assert [(top["signal"], top["by"]) for top in default["tops"]] == [
        ("view", "score"),
        ("view", "velocity.1h"),
    ]
    found = client.get("/live.json?signal=like&by=count.1h&by=score.30d").json()
    assert [(top["by"], top["rows"][0]["key"]) for top in found["tops"]] == [
        ("count.1h", "a"),
        ("score.30d", "a"),
    ]
    assert found["log"]["last_seq"] == 3
    for wrong in (
        "signal=lik",
        "by=nothing",
        "by=score&by=score&by=score&by=score&by=score",
        "at=1",
        "signal=follow&by=count.1h",
    ):
        refused = client.get(f"/live.json?{wrong}")
        assert refused.status_code == 422, wrong
        assert refused.headers["content-type"] == "application/problem+json"


def test_jobs_are_shown_to_who_may_export(db: tidal.TidalDb) -> None:
    db.signal("view", 1)
    db.flush()
    job = db.jobs.wait(db.jobs.create("signals").id, 60)
    app = create_app(db, tokens=TOKENS)
    assert caller(app, secret=SECRETS[Scope.READ]).get("/live.json").json()["jobs"] is None
    both = caller(app)
    [shown] = both.get("/live.json").json()["jobs"]
    assert both.get(f"/{shown['download']}").content == job.path.read_bytes()  # type: ignore[union-attr]
    assert str(db.path) not in both.get("/live.json").text


def test_it_can_be_mounted(db: tidal.TidalDb) -> None:
    outer = Starlette(routes=[Mount("/scores", create_app(db, tokens=TOKENS))])
    with TestClient(outer, "http://localhost", headers=bearer()) as client:
        assert client.get("/scores/").content == html()
        assert client.get("/scores/live.json").json()["store"] == "store"


def test_a_closed_database_is_a_problem_of_a_kind(db: tidal.TidalDb, client: TestClient) -> None:
    db.close()
    answer = client.get("/live.json")
    assert (answer.status_code, answer.json()["code"]) == (503, "closed")


def test_samples_are_there_for_who_serves_it(db: tidal.TidalDb, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(db)
    with caplog.at_level(logging.DEBUG):
        app.state.snapshots.sample()
        db.close()
        app.state.snapshots.sample()
    assert not caplog.records


def test_the_page_that_asks_each_second_does_not_fill_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "tidal.serve"):
        for path in ("/live.json", "/live.json?by=nothing", "/v1/health"):
            client.get(path)
    levels = [record.levelname for record in caplog.records if record.name == "tidal.serve"]
    assert levels == ["DEBUG", "INFO", "INFO"]
