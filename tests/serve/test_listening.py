"""Where a service may listen, and how it treats connections that dawdle. Real sockets, on loopback."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from servicekit import TOKENS, bearer, serving

import tidal
from tidal.errors import InvalidOption
from tidal.serve import ServiceLimits, create_app
from tidal.serve.listening import Service, Tls, check_place

QUICK = ServiceLimits(header_seconds=0.2, idle_seconds=1, body_seconds=0.2, connections=4)
TLS: Any = Tls("cert.pem", "key.pem")  # type: ignore[arg-type]

PLACES = [
    ("127.0.0.1", None, None, False, ""),
    ("localhost", None, None, False, ""),
    ("::1", None, None, False, ""),
    ("0.0.0.0", None, None, False, "no tokens"),
    ("::", None, None, False, "no tokens"),
    ("", None, None, False, "no tokens"),
    ("192.0.2.1", None, TLS, True, "no tokens"),
    ("0.0.0.0", TOKENS, None, False, "unencrypted"),
    ("192.0.2.1", TOKENS, None, False, "unencrypted"),
    ("0.0.0.0", TOKENS, TLS, False, ""),
    ("0.0.0.0", TOKENS, None, True, ""),
    ("no such host", TOKENS, TLS, True, "no address"),
]


@pytest.mark.parametrize(("host", "tokens", "tls", "proxy", "reason"), PLACES)
def test_beyond_this_machine_only_with_tokens_and_encryption(
    host: str, tokens: Any, tls: Any, proxy: bool, reason: str
) -> None:
    if not reason:
        check_place(host, 0, tokens=tokens, tls=tls, behind_proxy=proxy)
        return
    with pytest.raises(InvalidOption, match=reason):
        check_place(host, 0, tokens=tokens, tls=tls, behind_proxy=proxy)


def test_ports_are_ports() -> None:
    for port in (-1, 65536):
        with pytest.raises(InvalidOption, match="port"):
            check_place("127.0.0.1", port, tokens=None, tls=None, behind_proxy=False)


@pytest.fixture
def quick(db: tidal.TidalDb) -> Iterator[Service]:
    with serving(create_app(db, tokens=TOKENS, limits=QUICK), QUICK) as service:
        yield service


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=30)


def answer_to(service: Service, *parts: bytes) -> bytes:
    """All that comes back, until the service closes the connection."""
    with connect(service) as wire:
        for part in parts:
            wire.sendall(part)
        received = b""
        try:
            while part := wire.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received


def test_it_listens_on_loopback_and_nowhere_else(quick: Service) -> None:
    port = f"{int(quick.url.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        listening = [row.split()[1] for row in table if row.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(":" + port)] == ["0100007F:" + port]
    assert httpx2.get(quick.url + "/v1/health", headers=bearer()).json()["status"] == "ok"


def test_a_request_that_never_begins_is_dropped(quick: Service) -> None:
    assert answer_to(quick) == b""
    assert answer_to(quick, b"GET /v1/health HTTP/1.1\r\nHost: local") == b""


def test_the_second_request_of_a_connection_has_to_come_too(quick: Service) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    received = answer_to(quick, whole, b"GET /healthz HTT")
    assert received.count(b"HTTP/1.1 200") == 1


def test_a_body_that_does_not_come_is_408(quick: Service) -> None:
    head = (
        "POST /v1/scores HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: {bearer()['Authorization']}\r\n\r\n{{"
    )
    assert answer_to(quick, head.encode()).startswith(b"HTTP/1.1 408 ")


def test_headers_are_bounded(quick: Service) -> None:
    endless = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (QUICK.header_bytes * 2)
    assert b"HTTP/1.1 200" not in answer_to(quick, endless)


def test_connections_are_bounded_and_come_free_again(quick: Service) -> None:
    held = [connect(quick) for _ in range(QUICK.connections)]
    try:
        assert answer_to(quick, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    finally:
        for wire in held:
            wire.close()
    for _ in range(100):
        received = answer_to(quick, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if received:
            break
    assert received.startswith(b"HTTP/1.1 200")


def test_smuggled_lengths_are_refused(quick: Service) -> None:
    both = (
        b"POST /v1/scores HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
    )
    assert answer_to(quick, both).startswith(b"HTTP/1.1 400 ")


def test_a_port_that_is_taken_is_an_error(quick: Service, db: tidal.TidalDb) -> None:
    with pytest.raises(OSError, match="in use"):
        Service(create_app(db), "127.0.0.1", int(quick.url.rpartition(":")[2]))


def test_what_never_runs_can_be_closed(db: tidal.TidalDb) -> None:
    service = Service(create_app(db), "127.0.0.1", 0)
    service.close()
    with pytest.raises(ConnectionRefusedError):
        connect(service)


def test_a_bad_certificate_is_an_error_before_anything_is_answered(db: tidal.TidalDb, tmp_path: Any) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    service = Service(create_app(db), "127.0.0.1", 0, tls=Tls(empty, empty))
    assert service.url.startswith("https://")
    try:
        with pytest.raises(ssl.SSLError):
            service.run()
    finally:
        service.close()
