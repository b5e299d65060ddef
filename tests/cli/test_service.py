"""The client of a service: where a token may go, and answers that are none."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from snapshot import snapshot

from tidal.cli.service import Service, token
from tidal.errors import InvalidOption, UnreachableService, UsageError

VARIABLE = "TIDAL_TOKEN"
Handle = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def answering(
    status: int, body: bytes, headers: dict[str, str] | None = None
) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers everything alike; and the requests that it got."""
    asked: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def client(
    url: str, secret: str | None = None, signal: str | None = None, by: tuple[str, ...] = ()
) -> Service:
    return Service(url, secret, signal, by, VARIABLE)


def test_it_asks_beside_the_page_with_the_token_in_a_header() -> None:
    with answering(200, json.dumps(snapshot()).encode()) as (url, asked):
        assert client(f"{url}/deep/", "secret", "a&b", ("score", "count.1h")).take()["store"] == "shop.tidal"
    [(path, headers)] = asked
    assert path == "/deep/live.json?signal=a%26b&by=score&by=count.1h"
    assert headers["Authorization"] == "Bearer secret"


def test_no_redirect_is_followed() -> None:
    with (
        answering(200, json.dumps(snapshot()).encode()) as (there, taken),
        answering(302, b"", {"Location": there}) as (url, _),
    ):
        with pytest.raises(UnreachableService, match="302"):
            client(url, "secret").take()
        assert taken == []


@pytest.mark.parametrize(("status", "body", "error", "text"), [
    (401, b"", UsageError, "--token FILE or in TIDAL_TOKEN"),
    (403, b"", UsageError, "may not read"),
    (404, b"", UsageError, "no live view"),
    (421, b"", UsageError, "does not go by the name"),
    (422, b'{"detail": "unknown signal type \'x\'\\u001b[2J"}', UsageError, "unknown signal type 'x'\ufffd"),
    (503, b'{"detail": "the database is closed"}', UnreachableService, "is closed"),
    (500, b"<html>", UnreachableService, "status 500"),
    (200, b"<html>", UnreachableService, "not answer as this tidal"),
    (200, b"[1]", UnreachableService, "not answer as this tidal"),
    (200, b'{"format": 2}', UnreachableService, "another version"),
])  # fmt: skip
def test_what_is_no_view_is_said(status: int, body: bytes, error: type[Exception], text: str) -> None:
    with answering(status, body) as (url, _), pytest.raises(error, match=text.replace("[", r"\[")):
        client(url).take()


def test_nobody_there() -> None:
    with answering(200, b"") as (url, _):
        gone = url
    with pytest.raises(UnreachableService, match="does not answer"):
        client(gone).take()


@pytest.mark.parametrize(
    "url", ["http://", "http://host?x=1", "http://host#x", "http://me:pw@host", "http://host:99999"]
)
def test_what_is_no_url_of_a_service(url: str) -> None:
    with pytest.raises(UsageError):
        client(url)


def test_a_token_goes_to_another_machine_only_encrypted() -> None:
    for url in ("http://192.0.2.1", "http://shop.example", "http://localhost.shop.example"):
        with pytest.raises(UsageError, match="unencrypted"):
            client(url, "secret")
        client(url)
    for url in ("http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://shop.example"):
        client(url, "secret")


def test_where_a_token_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    file.chmod(0o600)
    assert token(None, {}, VARIABLE) is None
    assert token(None, {VARIABLE: " of-the-environment "}, VARIABLE) == "of-the-environment"
    assert token(file, {VARIABLE: "x"}, VARIABLE) == "of-the-file"
    for text in ("dashboard read secret", "with\nline", "käse"):
        with pytest.raises(UsageError, match="one word"):
            token(None, {VARIABLE: text}, VARIABLE)
    file.chmod(0o640)
    with pytest.raises(InvalidOption, match="chmod 600"):
        token(file, {}, VARIABLE)
