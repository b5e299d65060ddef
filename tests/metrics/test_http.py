"""The server of the metrics port: what it answers, whom it refuses, and that it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from scraping import ask

from tidal.metrics import http
from tidal.metrics.http import HEAD_BYTES_MAX, Answer, Request, Server, parse_head


def echo(request: Request) -> Answer:
    return Answer(200, "text/plain", f"{request.path}?{request.query}".encode())


def broken(request: Request) -> Answer:
    raise RuntimeError("a bug")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("127.0.0.1", 0)
    server.start({"/": echo, "/broken": broken, "/big": lambda it: Answer(200, "text/plain", bytes(1 << 24))})
    yield server
    server.close()


def sent(server: Server, data: bytes) -> bytes:
    """All that the server answers to some bytes."""
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(data)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def test_a_route_answers(server: Server) -> None:
    status, headers, body = ask(server.address, "/?a=1&b=%20")
    assert (status, body) == (200, b"/?a=1&b=%20")
    assert headers["content-length"] == str(len(body))
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_large_answers_arrive_whole(server: Server) -> None:
    assert len(ask(server.address, "/big")[2]) == 1 << 24


def test_head_has_no_body(server: Server) -> None:
    status, headers, body = ask(server.address, "/?x", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "3", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(server: Server, method: str) -> None:
    status, headers, _ = ask(server.address, "/", method=method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(("host", "status"), [
    ("localhost:1", 200), ("LOCALHOST", 200), ("127.0.0.1", 200), ("[::1]:80", 200),
    ("evil.example", 421), ("127.0.0.1.evil.example:80", 421), ("", 421),
])  # fmt: skip
def test_only_names_of_this_machine_are_answered(server: Server, host: str, status: int) -> None:
    """A page of another site can lead its own name here, and would read what is answered."""
    assert ask(server.address, "/", Host=host)[0] == status


def test_any_name_is_answered_where_that_was_asked_for() -> None:
    server = Server("127.0.0.1", 0, hosts=None)
    server.start({"/": echo})
    try:
        assert ask(server.address, "/", Host="metrics.internal")[0] == 200
    finally:
        server.close()


def test_an_unknown_path_is_told_what_there_is(server: Server) -> None:
    status, _, body = ask(server.address, "/../etc/passwd")
    assert (status, body) == (404, b"there is /, /broken, /big\n")


def test_a_bug_is_in_the_log_and_not_in_the_answer(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask(server.address, "/broken")
    assert status == 500 and b"a bug" not in body
    assert "a bug" in str(caplog.records[0].exc_info)
    assert ask(server.address, "/")[0] == 200


@pytest.mark.parametrize("head", [
    b"GET / HTTP/2\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"GET http://x/ HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
])  # fmt: skip
def test_what_is_no_request_is_refused(server: Server, head: bytes) -> None:
    assert sent(server, head).startswith(b"HTTP/1.1 400 ")
    assert ask(server.address, "/")[0] == 200


def test_a_head_without_end_is_broken_off(server: Server) -> None:
    assert sent(server, b"GET / HTTP/1.1\r\n" + b"x" * 2 * HEAD_BYTES_MAX) == b""


def test_who_says_nothing_holds_up_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.2)
    host, _, port = server.address.partition(":")
    idle = [socket.create_connection((host, int(port)), timeout=30) for _ in range(5)]
    assert ask(server.address, "/")[0] == 200
    for connection in idle:
        with connection, contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""  # until the server gives up on it


def test_more_connections_than_there_may_be_are_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_MAX", 1)
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30):
        while True:  # until the server has seen the one that idles
            with pytest.raises((OSError, EOFError)):
                while ask(server.address, "/")[0] == 200:
                    time.sleep(0.01)
            break
    while True:
        try:
            assert ask(server.address, "/")[0] == 200
            break
        except OSError:
            time.sleep(0.01)


def test_close_ends_thread_and_port_while_somebody_is_connected() -> None:
    before = threading.active_count()
    server = Server("127.0.0.1", 0)
    server.start({"/": echo})
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET / HT")
        ask(server.address, "/")  # the one above was accepted before
        server.close()
        server.close()
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        ask(server.address, "/")


def test_a_server_that_was_never_started_is_closed_too() -> None:
    server = Server("127.0.0.1", 0)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server.address, "/")


def test_a_port_in_use_is_an_error() -> None:
    server = Server("127.0.0.1", 0)
    with pytest.raises(OSError):
        Server("127.0.0.1", int(server.address.partition(":")[2]))
    server.close()


def test_ticks_come_and_a_tick_that_fails_is_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "TICK_SECONDS", 0.01)
    ticks: list[int] = []
    third = threading.Event()

    def tick() -> None:
        ticks.append(len(ticks))
        if len(ticks) == 3:
            third.set()
            raise RuntimeError("a bug")

    server = Server("127.0.0.1", 0)
    server.start({"/": echo}, tick=tick)
    assert third.wait(30)
    assert ask(server.address, "/")[0] == 200
    server.close()
    assert ticks == [0, 1, 2]
    assert "called no more" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_lets_the_port_go() -> None:
    server = Server("127.0.0.1", 0)
    server.start({"/": echo})
    read, write = os.pipe()
    abandoned, has_abandoned = os.pipe()
    if (child := os.fork()) == 0:
        try:
            server.abandon()
            server.close()
            os.write(has_abandoned, b"x")
            os.read(read, 1)
        finally:
            os._exit(0)
    assert os.read(abandoned, 1) == b"x"
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server.address, "/")
    os.write(write, b"x")
    os.waitpid(child, 0)
    for end in (read, write, abandoned, has_abandoned):
        os.close(end)


def test_a_head_is_taken_apart() -> None:
    head = b"GET /a?b HTTP/1.1\r\nHost:\t x \r\nX-\xe4: \xe4\r\n\r\n"
    assert parse_head(head) == ("GET", Request("/a", "b", {"host": "x", "x-ä": "ä"}))
