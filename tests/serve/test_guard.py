"""What every request passes: sizes, times, how many; and that nothing of a failure is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from servicekit import TOKENS, bearer, caller, service
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

import tidal
from tidal.errors import InvalidOption, NoSpace, StorageError
from tidal.serve import ServiceLimits, create_app
from tidal.serve.guard import AnswerBroken, Guard
from tidal.serve.logs import JsonFormatter

SMALL = ServiceLimits(body_bytes=1000, rows=3, requests=2, body_seconds=0.05, send_seconds=0.05)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def small(db: tidal.TidalDb) -> Iterator[TestClient]:
    with service(db, limits=SMALL) as client:
        yield client


def test_bodies_are_bounded_whether_they_say_their_length_or_not(small: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    for body in (b" " * 1001, chunks()):
        refused = small.post("/v1/scores", content=body, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert refused.headers["connection"] == "close"
    assert small.post("/v1/scores", content=b" " * 1000, headers=JSON).status_code == 400


@pytest.mark.parametrize("length", ["-1", "9" * 30, "abc", "1, 1"])
def test_lengths_that_are_none_are_refused(small: TestClient, length: str) -> None:
    assert small.get("/v1/health", headers={"Content-Length": length}).status_code == 413


def test_a_compressed_body_is_refused(small: TestClient) -> None:
    refused = small.post("/v1/scores", content=b"{}", headers={**JSON, "Content-Encoding": "gzip"})
    assert refused.status_code == 415


def test_headers_that_decide_stand_once(db: tidal.TidalDb) -> None:
    client = caller(create_app(db, tokens=TOKENS), secret=None)
    twice = [("Authorization", bearer()["Authorization"]), ("Authorization", "Bearer x")]
    assert client.get("/v1/health", headers=twice).status_code == 400


def test_rows_are_bounded(small: TestClient) -> None:
    ids = [1, 2, 3, 4]
    assert small.post("/v1/scores", json={"signal": "view", "ids": ids[:3]}).status_code == 200
    assert small.post("/v1/scores", json={"signal": "view", "ids": ids}).status_code == 413
    assert small.post("/v1/rank", json={"weights": {"view.score": 1}, "ids": ids}).status_code == 413
    assert small.post("/v1/rank", json={"weights": {"view.score": 1}, "ids": [1], "k": 4}).status_code == 422
    assert small.get("/v1/top/view?k=4").status_code == 422
    events = [{"signal": "view", "entity_id": each} for each in ids]
    assert small.post("/v1/signals", json={"events": events}).status_code == 413
    assert small.get("/v1/health").json()["last_seq"] == 0


# ------------------------------------------------------------------------------------ without HTTP


def scope_of(path: str = "/v1/x", **headers: str) -> Scope:
    fields = {"host": "localhost", **headers}
    return {
        "type": "http", "method": "GET", "path": path, "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
    }  # fmt: skip


class Wire:
    """What a guard sends; and a client that sends a part of a body and no more."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.body: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message:
        if self.body:
            return self.body.pop(0)
        await anyio.sleep_forever()
        raise AssertionError

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def guarded(app: object, limits: ServiceLimits = SMALL) -> Guard:
    return Guard(app, limits=limits, hosts=["localhost"], loopback_only=True)  # type: ignore[arg-type]


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass


def test_a_body_that_does_not_come_is_given_up() -> None:
    wire = Wire()
    wire.body = [{"type": "http.request", "body": b"{", "more_body": True}]
    anyio.run(guarded(reads_all), scope_of(), wire.receive, wire.send)
    assert wire.status == 408
    assert b"0.05 s" in wire.sent[1]["body"]


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def stuck(message: Message) -> None:
        await anyio.sleep_forever()

    with pytest.raises(AnswerBroken, match="takes nothing"):
        anyio.run(guarded(answers), scope_of(), Wire().receive, stuck)


def test_more_requests_at_once_than_the_limit_are_told_to_come_again() -> None:
    async def scenario() -> list[int]:
        ahead, wires = anyio.Event(), [Wire() for _ in range(3)]

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            await ahead.wait()
            await send({"type": "http.response.start", "status": 204, "headers": []})

        guard = guarded(waits)
        async with anyio.create_task_group() as group:
            for wire in wires:
                group.start_soon(guard, scope_of(), wire.receive, wire.send)
                await anyio.lowlevel.checkpoint()
            while not any(wire.sent for wire in wires):
                await anyio.lowlevel.checkpoint()
            ahead.set()
        again = Wire()  # and the places are free again
        await guard(scope_of(), again.receive, again.send)
        refused = next(wire for wire in wires if wire.status == 503)
        assert (b"retry-after", b"1") in refused.sent[0]["headers"]
        return [*sorted(wire.status for wire in wires), again.status]

    assert anyio.run(scenario) == [204, 204, 503, 204]


def test_what_nobody_expected_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("/home/secret/path")

    wire = Wire()
    anyio.run(guarded(fails), scope_of(), wire.receive, wire.send)
    assert wire.status == 500
    assert b"secret" not in wire.sent[1]["body"] and b'"internal"' in wire.sent[1]["body"]
    assert any("failed" in record.message and record.exc_info for record in caplog.records)


def test_a_failure_in_the_midst_of_an_answer_breaks_it_off() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    wire = Wire()
    with pytest.raises(AnswerBroken):
        anyio.run(guarded(fails), scope_of(), wire.receive, wire.send)
    assert len(wire.sent) == 1


def test_a_websocket_is_closed() -> None:
    wire = Wire()
    anyio.run(guarded(reads_all), {"type": "websocket", "path": "/"}, wire.receive, wire.send)
    assert wire.sent == [{"type": "websocket.close", "code": 1008}]


# ------------------------------------------------------------------------------------ errors and the log


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoSpace(28, "write: No space left", "/srv/secret/wal"), 507, "no_space"),
        (StorageError(5, "fdatasync: Input/output error", "/srv/secret/wal"), 503, "storage"),
        (tidal.CorruptLog("/srv/secret/wal", 5, "bad hash"), 500, "damaged"),
        (tidal.StoreClosed("closed"), 503, "closed"),
        (tidal.ReadOnly("no"), 409, "read_only"),
        (tidal.LimitExceeded("entities=5 reached"), 429, "limit_reached"),
        (tidal.StorePoisoned(5, "earlier", "/srv/secret/wal"), 503, "storage"),
        (tidal.TidalError("/srv/secret"), 500, "internal"),
    ],
)
def test_errors_have_a_code_and_name_no_file(
    db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(db, "ingest", fails)
    client = caller(create_app(db, tokens=TOKENS))
    refused = client.post("/v1/signals", json={"events": [{"signal": "view", "entity_id": 1}]})
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"
    assert "secret" not in refused.text and "Traceback" not in refused.text


EVIL = ["\r\nX: 1", "\x1b[31m", "\u202e", "a\nINFO forged", "%0d%0aSet-Cookie:x", "\x00", "\u2028"]


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_of_a_client_s_is_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture, evil: str
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/v1/export/jobs/" + evil.encode().hex() + "%0d%0a")
    client.post("/v1/signals", json={"events": [{"signal": evil, "entity_key": evil}]})
    client.get("/v1/top/view", params={evil: evil})
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name.startswith("tidal")]
    assert len(lines) == 3
    for line in lines:
        assert line.isascii() and line.isprintable()
        assert evil not in line and "forged" not in line
        assert bearer()["Authorization"].split()[1] not in line


def test_a_line_of_the_log_says_who_asked_what(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = client.get("/v1/top/view?k=3")
    [record] = [record for record in caplog.records if hasattr(record, "tidal")]
    fields = record.tidal
    assert fields["event"] == "request"
    assert fields["route"] == "/v1/top/{signal}" and fields["method"] == "GET" and fields["status"] == 200
    assert fields["holder"] == "all" and fields["request_id"] == answer.headers["x-request-id"]


def test_an_error_is_logged_by_its_type_and_place(tmp_path: Path) -> None:
    try:
        raise ValueError("what\na client sent")
    except ValueError as error:
        record = logging.LogRecord(
            "tidal", 40, "f", 1, "request %s failed", ("ab",), (ValueError, error, None)
        )
    line = JsonFormatter().format(record)
    assert "client sent" not in line and '"error_type": "ValueError"' in line and "test_guard.py" in line


@pytest.mark.parametrize("field", ["body_bytes", "rows", "requests", "send_seconds"])
def test_limits_are_positive_numbers(field: str) -> None:
    for value in (0, -1, True, "5", float("nan"), float("inf"), None):
        with pytest.raises(InvalidOption, match=field):
            ServiceLimits(**{field: value})  # type: ignore[arg-type]


def test_nothing_of_the_service_is_left_running(db: tidal.TidalDb) -> None:
    before = set(threading.enumerate())
    with service(db) as client:
        client.get("/v1/health")
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(30)  # one may be about to end
    assert not [thread.name for thread in left if thread.is_alive()]
