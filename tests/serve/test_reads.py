"""Reads over HTTP say what the database says."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servicekit import MINUTE, service
from starlette.testclient import TestClient

import tidal


@pytest.fixture(scope="module")
def votes(data_folder: Path) -> Iterator[tidal.TidalDb]:
    """The first 20,000 Polis votes: comments by id, and the conversations by key."""
    schema = (
        tidal.SchemaBuilder()
        .signal("vote", half_life=("7d", "30d"), windows=("1h", "24h", "7d"), velocity=True, signed=True)
        .signal("activity", half_life="1d", windows=("24h",))
        .build()
    )
    with gzip.open(data_folder / "polis-votes.csv.gz", "rt") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(20_000), strict=False)]
    times = np.array([int(row["timestamp"]) for row in rows]) * 10**6
    with tidal.open(schema=schema, clock="event") as db:
        comments = np.array([int(row["comment"]) for row in rows], np.uint64) + np.uint64(2**63)
        db.ingest(
            signal="vote", entity_id=comments, weight=[float(row["vote"]) for row in rows], timestamp=times
        )
        db.ingest(signal="activity", entity_id=[row["conversation"] for row in rows], timestamp=times)
        yield db


@pytest.fixture(scope="module")
def asked(votes: tidal.TidalDb) -> Iterator[TestClient]:
    with service(votes) as client:
        yield client


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_scores_counts_and_velocities_are_the_database_s(votes: tidal.TidalDb, asked: TestClient) -> None:
    ids = [*votes.top("vote", 50).ids.tolist(), 12345]
    texts, at = list(map(str, ids)), votes.now()
    for half_life in (None, "30d"):
        body: dict[str, Any] = {"signal": "vote", "ids": texts} | (
            {"half_life": half_life} if half_life else {}
        )
        found = post(asked, "/v1/scores", **body)
        assert found == {"at": str(at), "values": votes.scores("vote", ids, half_life=half_life).tolist()}
    for window in ("1h", "24h", "7d", "all"):
        found = post(asked, "/v1/counts", signal="vote", ids=ids, window=window, at=str(at))
        assert found["values"] == votes.counts("vote", ids, window, at=at).tolist()
    for window in ("1h", "24h", "7d"):
        found = post(asked, "/v1/velocities", signal="vote", ids=texts, window=window)
        assert found["values"] == votes.velocities("vote", ids, window).tolist()
    assert max(found["values"]) > 0


def test_entities_by_key(votes: tidal.TidalDb, asked: TestClient) -> None:
    keys = list(filter(None, votes.top("activity", 3).keys))
    assert keys
    found = post(asked, "/v1/scores", signal="activity", keys=keys)
    assert found["values"] == votes.scores("activity", keys).tolist()


def test_an_earlier_time(votes: tidal.TidalDb, asked: TestClient) -> None:
    at = votes.now() + 90 * MINUTE
    ids = votes.top("vote", 5).ids.tolist()
    found = post(asked, "/v1/scores", signal="vote", ids=ids, at=at)
    assert found == {"at": str(at), "values": votes.scores("vote", ids, at=at).tolist()}


@pytest.mark.parametrize("by", ["score", "score.30d", "count.all", "velocity.7d"])
def test_top(votes: tidal.TidalDb, asked: TestClient, by: str) -> None:
    top = votes.top("vote", 20, by=by)
    text = asked.get("/v1/top/vote", params={"k": 20, "by": by}).json()["entities"]
    numbers = asked.get("/v1/top/vote", params={"k": 20, "by": by, "ids": "number"}).json()["entities"]
    assert [each["id"] for each in text] == list(map(str, top.ids.tolist()))
    assert [each["id"] for each in numbers] == top.ids.tolist()
    assert [each["value"] for each in text] == top.values.tolist()
    assert len(text) == 20 and int(text[0]["id"]) > 2**53


def test_top_has_keys_and_ten_entities_unless_told(votes: tidal.TidalDb, asked: TestClient) -> None:
    assert len(asked.get("/v1/top/vote").json()["entities"]) == 10
    named = asked.get("/v1/top/activity").json()["entities"]
    assert [each["key"] for each in named] == votes.top("activity").keys


def test_rank(votes: tidal.TidalDb, asked: TestClient) -> None:
    candidates, weights = votes.top("vote", 30).ids.tolist(), {"vote.score": 1.0, "vote.velocity.7d": -2.5}
    ranking = votes.rank(candidates, weights, k=7)
    found = post(asked, "/v1/rank", ids=candidates, weights=weights, k=7)["entities"]
    assert [int(each["id"]) for each in found] == ranking.ids.tolist()
    assert [each["value"] for each in found] == ranking.values.tolist()


def test_the_schema_and_the_health(votes: tidal.TidalDb, asked: TestClient) -> None:
    signals = asked.get("/v1/schema").json()["signals"]
    assert [signal["name"] for signal in signals] == ["vote", "activity"]
    assert "velocity.7d" in signals[0]["measures"] and signals[0]["signed"]
    health = asked.get("/v1/health").json()
    assert health["last_seq"] == health["durable_seq"] == 40_000 and not health["read_only"]
    assert (health["status"], health["ready"], health["reasons"]) == ("ok", True, [])
    assert health["entities"]["vote"] == votes.stats()["signals"]["vote"]["entities"]


BAD = {
    "no such type": ({"signal": "viiew", "ids": [1]}, 422, "unknown_signal_type"),
    "no such half-life": ({"signal": "view", "ids": [1], "half_life": "3d"}, 422, "unknown_measure"),
    "no half-life": ({"signal": "view", "ids": [1], "half_life": "long"}, 422, "invalid_duration"),
    "neither": ({"signal": "view"}, 422, "invalid"),
    "both": ({"signal": "view", "ids": [1], "keys": ["a"]}, 422, "invalid"),
    "null": ({"signal": "view", "ids": None, "keys": ["a"]}, 422, "invalid"),
    "another field": ({"signal": "view", "ids": [1], "window": "1h"}, 422, "invalid"),
    "a number as a name": ({"signal": 1, "ids": [1]}, 422, "invalid"),
    "a list": ([], 422, "invalid"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD)
def test_bad_questions(client: TestClient, body: Any, status: int, code: str) -> None:
    refused = client.post("/v1/scores", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "path", ["/v1/scores", "/v1/counts", "/v1/velocities", "/v1/rank", "/v1/export/dataset"]
)
def test_a_body_that_a_form_could_send_is_refused(client: TestClient, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        refused = client.post(path, content=b"{}", headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert (
        client.post(
            path, content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}
        ).status_code
        == 422
    )
