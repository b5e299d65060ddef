"""The transport through NATS JetStream, on a server of its own."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from natskit import NatsServer, nats_servers, needs_nats
from replicakit import SCHEMA, events, log_bytes, same_state
from waiting import until

import tidal
from tidal.errors import InvalidOption
from tidal.testing.transport import TransportTests, deliver
from tidal.transports.nats import NatsTransport

pytestmark = needs_nats


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_servers(tmp_path_factory.mktemp("nats")) as servers:
        yield servers[0]


class TestNatsTransport(TransportTests):
    @pytest.fixture(autouse=True)
    def _serve(self, server: NatsServer) -> None:
        self._server = server

    def make(self, tmp_path: Path) -> NatsTransport:
        prefix = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
        return NatsTransport(self._server.url, prefix, keep_bytes=16 << 20)


def test_a_follower_over_jetstream(server: NatsServer, tmp_path: Path) -> None:
    transports = [NatsTransport(server.url, "follower") for _ in range(2)]
    with tidal.open(tmp_path / "leader", schema=SCHEMA, clock="event", max_future_skew=None) as db:
        db.ship(transports[0], name="a")
        with tidal.open_follower(tmp_path / "f", transports[1], name="f", clock="event") as follower:
            last = events(db, 500)
            until(lambda: follower.last_seq == last)
            assert same_state(follower, db)
    for transport in transports:
        transport.close()


def test_the_leader_of_the_stream_is_killed_while_a_log_is_shipped(tmp_path: Path) -> None:
    with nats_servers(tmp_path, 3) as servers:
        urls = [server.url for server in servers]
        with (
            NatsTransport(urls, replicas=3) as ours,
            NatsTransport(urls, replicas=3) as theirs,
            tidal.open(tmp_path / "leader", schema=SCHEMA, clock="event", max_future_skew=None) as db,
        ):
            db.ship(ours, name="a")
            with tidal.open_follower(tmp_path / "f", theirs, name="f", clock="event") as follower:
                for turn in range(40):
                    last = events(db, 500)
                    if turn == 10:
                        stream_leader(servers, "tidal_messages").kill()
                    time.sleep(0.05)
                until(lambda: follower.last_seq == last)
                assert same_state(follower, db)
            assert log_bytes(tmp_path / "f") == log_bytes(tmp_path / "leader")


def stream_leader(servers: list[NatsServer], stream: str) -> NatsServer:
    """Return the server that leads a stream now."""

    async def ask() -> str:
        client = await nats.connect(servers[0].url)
        info = await client.jetstream().stream_info(stream)
        await client.close()
        return str(info.cluster.leader) if info.cluster else ""

    name = asyncio.run(ask())
    return next(server for server in servers if server.name == name)


def test_a_subscription_outlives_its_stream(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is made anew, and the server does not answer in time where it ends."""
    with NatsTransport(server.url, "remade", keep_bytes=16 << 20) as transport:
        heard = transport.subscribe("a")
        assert deliver(transport, heard, "a", b"before") == b"before"
        asked: list[str] = []

        async def fail(stream: str) -> None:
            asked.append(stream)
            raise TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(transport._server, "state", fail)
            remake(server, "remade_messages")
            until(lambda: asked)
        assert deliver(transport, heard, "a", b"after") == b"after"


def remake(server: NatsServer, name: str) -> None:
    async def ask() -> None:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        config = (await stream.stream_info(name)).config
        await stream.delete_stream(name)
        await stream.add_stream(config)
        await client.close()

    asyncio.run(ask())


def test_two_transports_with_other_prefixes_are_apart(server: NatsServer) -> None:
    with NatsTransport(server.url, "one") as one, NatsTransport(server.url, "two") as two:
        heard = two.subscribe("a")
        one.send("a", b"x")
        two.send("a", b"y")
        assert heard.receive(20.0) == b"y"
        assert one.claim("epoch/1", b"x") == b"x"
        assert two.claim("epoch/1", b"y") == b"y"


def test_claims_and_messages_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    with nats_servers(tmp_path) as [server], NatsTransport(server.url) as transport:
        assert transport.claim("epoch/1", b"one") == b"one"
        heard = transport.subscribe("a")
        server.kill()
        transport.send("a", b"while it is away")
        server.start()
        assert heard.receive(20.0) == b"while it is away"
        assert transport.claim("epoch/1", b"two") == b"one"
        assert transport.lost == 0


def test_a_server_that_never_answers_is_a_transport_error(tmp_path: Path) -> None:
    with pytest.raises(tidal.TransportError, match=r"no NATS server answers at nats://127\.0\.0\.1:9"):
        NatsTransport("nats://127.0.0.1:9", retry_seconds=0.3)
    with nats_servers(tmp_path) as [server], NatsTransport(server.url, retry_seconds=0.3) as transport:
        server.kill()
        transport.send("a", b"lost")
        until(lambda: transport.lost == 1)
        with pytest.raises(tidal.TransportError):
            transport.claim("epoch/1", b"")


@pytest.mark.parametrize(
    "option", [{"prefix": "a.b"}, {"replicas": 2}, {"keep_seconds": 0.0}, {"keep_bytes": 1000}]
)
def test_options_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        NatsTransport("nats://127.0.0.1:9", **option)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(tidal.MissingExtra, match=r"tidaldb\[nats\]"):
        NatsTransport("nats://127.0.0.1:9")
