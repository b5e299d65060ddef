"""Export jobs over HTTP: made, watched, cancelled, downloaded."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from servicekit import BEGAN, MINUTE, SCHEMA, service
from starlette.testclient import TestClient

import tidal
from tidal.export import Field, Table
from tidal.schema.events import ID_MAX

EVENTS = 5_000


@pytest.fixture
def full(db: tidal.TidalDb) -> tidal.TidalDb:
    ids = np.arange(EVENTS, dtype=np.uint64) % 50 + np.uint64(ID_MAX - 49)
    db.ingest(signal="view", entity_id=ids, timestamp=BEGAN + np.arange(EVENTS) * 10**6, user_id=ids // 7)
    db.flush()
    return db


@pytest.fixture
def client(full: tidal.TidalDb) -> Iterator[TestClient]:
    with service(full) as client:
        yield client


def create(client: TestClient, db: tidal.TidalDb, **body: Any) -> dict[str, Any]:
    """Make a job and return it once it is finished."""
    made = client.post("/v1/export/dataset", json={"dataset": "signals", **body})
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"/v1/export/jobs/{made.json()['id']}"
    db.jobs.wait(made.json()["id"], 60)
    answer: dict[str, Any] = client.get(made.headers["location"]).json()
    return answer


def test_from_a_request_to_a_file(full: tidal.TidalDb, client: TestClient, tmp_path: Path) -> None:
    job = create(client, full)
    assert (job["status"], job["rows"], job["capped"], job["reason"]) == ("done", EVENTS, False, None)
    whole = client.get(job["download"])
    assert whole.status_code == 200
    assert whole.headers["content-disposition"] == f'attachment; filename="signals-{job["id"]}.jsonl"'
    assert whole.headers["x-content-blake3"] == job["blake3"] == blake3(whole.content).hexdigest()
    assert whole.headers["etag"] == f'"{job["blake3"]}"' and whole.headers["accept-ranges"] == "bytes"
    assert int(whole.headers["content-length"]) == job["bytes"] == len(whole.content)
    rows = [json.loads(line) for line in whole.text.splitlines()]
    assert len(rows) == EVENTS and rows[0]["entity_id"] == str(ID_MAX - 49), "ids survive any reader of JSON"
    written = full.export_signals(tidal.ExportRequest(all=True)).write(tmp_path / "own.jsonl", ids_as="text")
    assert written.blake3 == job["blake3"]


def test_parts_of_a_file(full: tidal.TidalDb, client: TestClient) -> None:
    job = create(client, full, limit=50, ids_as="number")
    assert job["capped"] and job["rows"] == 50 and job["ids_as"] == "number"
    whole = client.get(job["download"]).content
    size = len(whole)
    for asked, start, stop in (("0-9", 0, 10), ("10-", 10, size), ("-7", size - 7, size)):
        part = client.get(job["download"], headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == whole[start:stop]
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["content-length"] == str(stop - start)
    behind = client.get(job["download"], headers={"Range": f"bytes={size}-"})
    assert behind.status_code == 416 and behind.headers["content-range"] == f"bytes */{size}"
    for tag, status in ((f'"{job["blake3"]}"', 206), ('"another"', 200)):
        part = client.get(job["download"], headers={"Range": "bytes=0-0", "If-Range": tag})
        assert part.status_code == status


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "arrow"])
def test_filters_and_formats(full: tidal.TidalDb, client: TestClient, format: str) -> None:
    job = create(
        client, full, format=format, entity_id=str(ID_MAX), signal_types=["view"],
        since=str(BEGAN), until="2023-11-14T22:13:22Z", compression="zstd",
    )  # fmt: skip
    assert (job["status"], job["format"], job["compression"]) == ("done", format, "zstd"), job["reason"]
    assert job["entity_id"] == str(ID_MAX) and job["until"] == str(BEGAN + 2 * 10**9)
    assert job["rows"] == 2_000 // 50
    assert client.get(f"/v1/export/jobs/{job['id']}?ids=number").json()["entity_id"] == ID_MAX


def test_every_dataset_can_be_asked_for(full: tidal.TidalDb, client: TestClient) -> None:
    for dataset in full.jobs.datasets():
        job = create(client, full, dataset=dataset)
        assert job["status"] == "done", (dataset, job["reason"])
        assert client.get(job["download"]).status_code == 200


BAD = {
    "dataset": ({"dataset": "nothing"}, 422),
    "path as a dataset": ({"dataset": "../../etc/passwd"}, 422),
    "format": ({"dataset": "signals", "format": "xlsx"}, 422),
    "filter of another": ({"dataset": "entities", "since": 5}, 422),
    "type": ({"dataset": "signals", "signal_types": ["viiew"]}, 422),
    "range": ({"dataset": "signals", "limit": -1}, 422),
    "a path": ({"dataset": "signals", "path": "/etc/passwd"}, 422),
    "bool as a time": ({"dataset": "signals", "since": False}, 422),
}


@pytest.mark.parametrize(("body", "status"), BAD.values(), ids=BAD)
def test_bad_requests_make_no_job(full: tidal.TidalDb, client: TestClient, body: Any, status: int) -> None:
    refused = client.post("/v1/export/dataset", json=body)
    assert refused.status_code == status and refused.json()["detail"]
    assert client.get("/v1/export/jobs").json() == {"jobs": []}


TRAVERSALS = [
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "..",
    "0" * 31,
    "0" * 33,
    "G" * 32,
    "0" * 31 + "%00",
    "A" * 32,
]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_job_is_named_by_its_id_only(client: TestClient, name: str) -> None:
    for path in (f"/v1/export/jobs/{name}", f"/v1/export/jobs/{name}/download"):
        assert client.get(path).status_code in (404, 422), path


def test_jobs_that_are_not_there_or_not_done(full: tidal.TidalDb, client: TestClient) -> None:
    for path in ("", "/download"):
        refused = client.get(f"/v1/export/jobs/{'0' * 32}{path}")
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_job")
    full.jobs.register("slow", lambda db, request: (_ for _ in ()).throw(RuntimeError("no such column")))
    failed = create(client, full, dataset="slow")
    assert (
        failed["status"] == "failed" and failed["download"] is None and "no such column" in failed["reason"]
    )
    refused = client.get(f"/v1/export/jobs/{failed['id']}/download")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_done")


def test_a_reason_names_no_file(full: tidal.TidalDb, client: TestClient) -> None:
    error = tidal.StorageError(5, "write: Input/output error", "/srv/secret/exports/x.jsonl")

    def fails(db: Any, request: Any) -> Any:
        raise error

    full.jobs.register("fails", fails)
    reason = create(client, full, dataset="fails")["reason"]
    assert "Input/output error" in reason and "secret" not in reason and "(a file)" in reason


def test_a_link_in_the_place_of_a_file_is_not_followed(
    full: tidal.TidalDb, client: TestClient, tmp_path: Path
) -> None:
    job = create(client, full)
    path, secret = full.jobs.get(job["id"]).path, tmp_path / "secret"
    assert path is not None
    secret.write_text("not of the store")
    for swap in (path.symlink_to, path.hardlink_to):
        path.unlink()
        swap(secret)
        refused = client.get(job["download"])
        assert refused.status_code == 500 and refused.json()["code"] == "damaged"
        assert "not of the store" not in refused.text and str(tmp_path) not in refused.text


def test_a_job_is_cancelled(full: tidal.TidalDb, client: TestClient) -> None:
    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield {"n": np.arange(10)}

    full.jobs.register("endless", lambda db, request: Table([Field("n", "int64")], endless()))
    made = client.post("/v1/export/dataset", json={"dataset": "endless"}).json()
    cancelled = client.delete(f"/v1/export/jobs/{made['id']}").json()
    assert cancelled["cancelling"] or cancelled["status"] == "cancelled"
    full.jobs.wait(made["id"], 60)
    listed = client.get("/v1/export/jobs?status=cancelled").json()["jobs"]
    assert [job["id"] for job in listed] == [made["id"]] and listed[0]["download"] is None
    assert client.get("/v1/export/jobs?status=done").json() == {"jobs": []}
    assert client.delete(f"/v1/export/jobs/{made['id']}").json()["status"] == "cancelled"


def test_there_are_not_too_many_jobs(tmp_path: Path) -> None:
    limits = tidal.JobLimits(jobs=2)
    with tidal.open(tmp_path / "few", schema=SCHEMA, jobs=limits) as db, service(db) as client:
        for _ in range(2):
            create(client, db)
        refused = client.post("/v1/export/dataset", json={"dataset": "signals"})
        assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")


def test_a_download_takes_no_memory(full: tidal.TidalDb, client: TestClient) -> None:
    """Of a file of many chunks, the service holds a few."""
    full.ingest(signal="view", entity_id=np.arange(200_000), timestamp=BEGAN + MINUTE)
    full.flush()
    job = create(client, full)
    assert job["bytes"] > 20 << 20
    from tidal.serve.sending import Part, file_chunks

    tracemalloc.start()
    size = sum(map(len, file_chunks(full.jobs.file(job["id"]), Part(0, job["bytes"]))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == job["bytes"] and peak < 2 << 20


# ------------------------------------------------------------------------------------ one entity


def test_all_events_of_one_entity(full: tidal.TidalDb, client: TestClient) -> None:
    answer = client.get(f"/v1/export/{ID_MAX}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/jsonl"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    expected = full.export_signals(tidal.ExportRequest(entity_id=ID_MAX, all=True)).to_list()
    assert len(rows) == EVENTS // 50
    for row, event in zip(rows, expected, strict=True):
        assert row["entity_id"] == str(ID_MAX) == str(event.entity_id)
        assert row["user_id"] == str(event.user_id) and int(row["timestamp_ns"]) == event.timestamp_ns
    numbers = client.get(f"/v1/export/{ID_MAX}?ids=number").text.splitlines()
    assert json.loads(numbers[0])["entity_id"] == ID_MAX


def test_some_events_of_one_entity(full: tidal.TidalDb, client: TestClient) -> None:
    path = f"/v1/export/{ID_MAX}"
    lines = client.get(path).text.splitlines()
    assert client.get(path, params={"limit": 3}).text.splitlines() == lines[:3]
    assert client.get(path, params={"signal_type": ["like", "follow"]}).text == ""
    third = json.loads(lines[3])["timestamp_ns"]
    assert client.get(path, params={"since": third}).text.splitlines() == lines[3:]
    assert client.get(path, params={"until": third}).text.splitlines() == lines[:3]
    assert client.get(path, params={"after_seq": 50}).text.splitlines() == lines[1:]
    assert client.get("/v1/export/12345").text == ""


@pytest.mark.parametrize(
    "path", ["abc", "-1", "1.0", "jobs2", "9" * 5000, str(ID_MAX + 1), "%31%00", "%D9%A3"]
)
def test_what_is_no_id_is_refused(client: TestClient, path: str) -> None:
    assert client.get(f"/v1/export/{path}").status_code in (404, 422)


def test_a_database_in_memory_has_neither_log_nor_jobs() -> None:
    with tidal.open(schema=SCHEMA) as db, service(db) as client:
        for path in ("/v1/export/1", "/v1/export/jobs", f"/v1/export/jobs/{'0' * 32}"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (409, "in_memory")
