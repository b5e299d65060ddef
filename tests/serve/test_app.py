"""The table of routes, walked: who is let in where, and what all answers have in common."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from servicekit import ALL_SCOPES, SECRETS, TOKENS, bearer, caller
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import tidal
from tidal.errors import InvalidOption
from tidal.serve import Scope, create_app

JOB = "0" * 32
EXPECTED = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/"): None,
    ("GET", "/live.json"): Scope.READ,
    ("POST", "/v1/scores"): Scope.READ,
    ("POST", "/v1/counts"): Scope.READ,
    ("POST", "/v1/velocities"): Scope.READ,
    ("POST", "/v1/rank"): Scope.READ,
    ("GET", "/v1/top/{signal}"): Scope.READ,
    ("GET", "/v1/schema"): Scope.READ,
    ("GET", "/v1/health"): Scope.READ,
    ("GET", "/v1/openapi.json"): Scope.READ,
    ("POST", "/v1/signals"): Scope.WRITE,
    ("POST", "/v1/export/dataset"): Scope.EXPORT,
    ("GET", "/v1/export/jobs"): Scope.EXPORT,
    ("GET", "/v1/export/jobs/{job_id}"): Scope.EXPORT,
    ("DELETE", "/v1/export/jobs/{job_id}"): Scope.EXPORT,
    ("GET", "/v1/export/jobs/{job_id}/download"): Scope.EXPORT,
    ("GET", "/v1/export/{entity_id}"): Scope.EXPORT,
}
GUARDED = [(*route, scope) for route, scope in EXPECTED.items() if scope]


def request(client: TestClient, method: str, path: str, headers: dict[str, str]) -> Any:
    filled = re.sub(r"\{\w+\}", lambda name: {"{job_id}": JOB, "{signal}": "view"}.get(name[0], "1"), path)
    return client.request(method, filled, headers=headers, content=b"{}" if method == "POST" else None)


def test_the_routes_are_these(db: tidal.TidalDb) -> None:
    """A route that is added must be added to the walk below."""
    document = caller(create_app(db, tokens=TOKENS)).get("/v1/openapi.json").json()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == EXPECTED.keys()


@pytest.mark.parametrize(("method", "path", "scope"), GUARDED)
def test_no_route_answers_without_the_right_token(
    db: tidal.TidalDb, method: str, path: str, scope: Scope
) -> None:
    client = caller(create_app(db, tokens=TOKENS), secret=None)
    wrong = (
        "Bearer ",
        "Bearer x",
        f"Bearer {SECRETS[scope][:-1]}",
        f"Basic {SECRETS[scope]}",
        SECRETS[scope],
    )
    for headers in ({}, *({"Authorization": value} for value in wrong)):
        refused = request(client, method, path, headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.json()["code"] == "unauthenticated"
    for other in set(Scope) - {scope}:
        refused = request(client, method, path, bearer(SECRETS[other]))
        assert refused.status_code == 403, other
        assert f'scope="{scope}"' in refused.headers["www-authenticate"]
    assert request(client, method, path, bearer(SECRETS[scope])).status_code not in (401, 403)


def test_two_words_are_for_everybody_and_they_tell_nothing(
    db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = caller(create_app(db, tokens=TOKENS), secret=None, peer="203.0.113.9")

    def said(path: str) -> tuple[int, Any]:
        found = client.get(path, headers={"Host": "10.0.0.1"})
        return found.status_code, found.json()

    assert (said("/healthz"), said("/readyz")) == ((200, {"status": "ok"}), (200, {"status": "ready"}))
    monkeypatch.setattr(db._upkeep, "archive_error", tidal.NoSpace("no space"))
    assert not db.health().ok
    assert said("/readyz") == (200, {"status": "ready"})  # it answers as well as ever
    db._recorder.fence(tidal.StaleEpoch("another node leads"))
    assert (said("/healthz"), said("/readyz")) == ((200, {"status": "ok"}), (503, {"status": "not_ready"}))


def test_a_refused_token_is_refused_before_the_body_is_looked_at(db: tidal.TidalDb) -> None:
    client = caller(create_app(db, tokens=TOKENS), secret=SECRETS[Scope.READ])
    assert client.post("/v1/signals", content=b"\xff{").status_code == 403
    assert db.last_seq == 0


def test_without_tokens_only_this_machine_is_answered(db: tidal.TidalDb) -> None:
    app = create_app(db)
    assert caller(app, secret=None).get("/v1/health").status_code == 200
    assert caller(app, secret=None, peer="::1").get("/v1/health").status_code == 200
    for peer in ("192.0.2.1", "testclient", "::ffff:192.0.2.1"):
        assert caller(app, secret=None, peer=peer).get("/v1/health").status_code == 403
    forwarded = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    assert caller(app, secret=None, peer="192.0.2.1").get("/v1/health", headers=forwarded).status_code == 403


def test_a_page_of_another_site_gets_nothing(db: tidal.TidalDb) -> None:
    """DNS rebinding brings another Host, forms another type, scripts a preflight."""
    client = caller(create_app(db), secret=None)
    for host in ("evil.example", "evil.example:8420", "localhost.evil.example", "", "127.0.0.2"):
        assert client.get("/v1/health", headers={"Host": host}).status_code == 421, host
    for host in ("localhost", "LOCALHOST:8420", "127.0.0.1:1", "[::1]:8420"):
        assert client.get("/v1/health", headers={"Host": host}).status_code == 200, host
    body = b'{"events": [{"signal": "view", "entity_id": 1}]}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        refused = client.post("/v1/signals", content=body, headers={"Content-Type": kind})
        assert refused.status_code == 415, kind
    preflight = client.options(
        "/v1/signals", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert db.last_seq == 0


def test_every_answer_has_an_id_and_may_not_be_kept_or_shown(client: TestClient) -> None:
    for answer in (
        client.get("/healthz"),
        client.get("/nowhere"),
        client.get("/v1/health"),
        client.put("/v1/schema"),
    ):
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    ids = {client.get("/healthz", headers={"X-Request-ID": "mine"}).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5 and "mine" not in ids


def test_hosts_are_names_and_any_host_needs_tokens(db: tidal.TidalDb) -> None:
    with pytest.raises(InvalidOption, match="needs tokens"):
        create_app(db, hosts=["*"])
    for bad in ("localhost", []):
        with pytest.raises(InvalidOption, match="list of names"):
            create_app(db, hosts=bad)
    anywhere = caller(create_app(db, tokens=TOKENS, hosts=["*"]), peer="192.0.2.1")
    assert anywhere.get("/v1/health", headers={"Host": "any.example"}).status_code == 200


def test_it_can_be_mounted_and_leaves_the_database_open(db: tidal.TidalDb) -> None:
    outer = Starlette(routes=[Mount("/scores", create_app(db, tokens=TOKENS))])
    with TestClient(outer, "http://localhost", headers=bearer()) as client:
        assert client.get("/scores/v1/health").json()["last_seq"] == 0
        assert client.get("/scores/healthz").status_code == 200
        assert client.get("/scores/nowhere").json()["code"] == "not_found"
    assert db.signal("view", 1) == 1


def test_the_document_is_good_openapi_3_1_and_names_what_the_store_has(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert schemas["ScoresRequest"]["properties"]["signal"]["enum"] == ["view", "like", "follow"]
    assert schemas["ScoresRequest"]["properties"]["half_life"]["enum"] == ["7d", "1d", "30d"]
    assert schemas["CountsRequest"]["properties"]["window"]["enum"] == ["1h", "24h", "all"]
    assert schemas["VelocitiesRequest"]["properties"]["window"]["enum"] == ["1h", "24h"]
    text = str(document)
    assert "x-tidal" not in text and "HTTPValidationError" not in text
    references = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert references <= schemas.keys()
    scopes = document["paths"]["/v1/signals"]["post"]["security"]
    assert scopes == [{"bearer": ["write"]}]


def test_without_tokens_the_document_asks_for_none(db: tidal.TidalDb) -> None:
    document = caller(create_app(db), secret=None).get("/v1/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "security" not in str(document["paths"])


FORBIDDEN = re.compile(
    r"^\s*(?:import|from)\s+(?:pickle|marshal|shelve|yaml|dill|cloudpickle)\b"
    r"|(?<![.\w])eval\(|allow_pickle=True|yaml\.load\(",
    re.M,
)


def test_nothing_that_is_read_can_run() -> None:
    """No pickle, marshal, eval or YAML in all of tidal."""
    assert FORBIDDEN.search("import pickle") and FORBIDDEN.search("x = eval(y)")
    sources = sorted(Path(tidal.__file__).parent.rglob("*.py"))
    found = [str(path) for path in sources if FORBIDDEN.search(path.read_text(encoding="utf-8"))]
    assert len(sources) > 100 and not found


def test_what_reads_a_store_runs_in_a_thread(db: tidal.TidalDb) -> None:
    """As a coroutine it would keep every other request waiting."""
    app: FastAPI = create_app(db)
    coroutines = [
        route.path
        for route in app.routes
        if isinstance(route, APIRoute) and inspect.iscoroutinefunction(route.endpoint)
    ]
    assert sorted(coroutines) == ["/", "/healthz"]
    assert len([route for route in app.routes if isinstance(route, APIRoute)]) == len(EXPECTED)


def test_tokens_and_scopes_are_in_no_answer(client: TestClient) -> None:
    for answer in (client.get("/nowhere"), client.get("/v1/openapi.json"), client.get("/v1/health")):
        assert ALL_SCOPES not in answer.text + str(answer.headers)
