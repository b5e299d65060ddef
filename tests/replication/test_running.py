"""The thread around a shipper or receiver: it goes on over errors of the transport, and ends with it."""

from __future__ import annotations

import pytest
from waiting import until

from tidal.errors import NoSpace, ReplicationError, StorageError, TransportError
from tidal.replication import Outgoing, Running, Subscription
from tidal.replication.running import waited
from tidal.transports import InProcessTransport


class Echo:
    """Sends back what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.steps = 0
        self.failure: Exception | None = None

    def on_message(self, data: bytes, now: int) -> list[Outgoing]:
        self.heard.append(data)
        return [Outgoing("out", data)]

    def step(self, now: int) -> list[Outgoing]:
        self.steps += 1
        if self.failure is not None:
            raise self.failure
        return []


class Failing(InProcessTransport):
    """Refuses some messages."""

    refusals = 0

    def send(self, channel: str, payload: bytes) -> None:
        if channel == "out" and self.refusals:
            self.refusals -= 1
            raise TransportError("the network is gone")
        super().send(channel, payload)


def started(transport: InProcessTransport, core: Echo) -> Running:
    return Running(transport, "in", core, lambda: 7, name="test", poll_seconds=0.001)


def test_messages_go_in_and_out() -> None:
    transport, core = InProcessTransport(), Echo()
    out: Subscription = transport.subscribe("out")
    running = started(transport, core)
    transport.send("in", b"hello")
    assert out.receive(20.0) == b"hello"
    assert running.alive
    running.close()
    running.close()
    assert not running.alive
    assert running.error is None
    assert core.steps > 0


def test_a_transport_that_fails_is_tried_again() -> None:
    transport, core = Failing(), Echo()
    out = transport.subscribe("out")
    transport.refusals = 2
    running = started(transport, core)
    for payload in (b"a", b"b", b"c"):
        transport.send("in", payload)
    assert out.receive(20.0) == b"c"
    assert running.lost == 2
    running.close()


def test_a_first_message_that_is_not_taken_is_sent_again() -> None:
    transport = Failing()
    out = transport.subscribe("out")
    transport.refusals = 2
    running = Running(
        transport, "in", Echo(), lambda: 7, name="test", poll_seconds=0.001,
        first=lambda now: [Outgoing("out", b"here I am")],
    )  # fmt: skip
    assert out.receive(20.0) == b"here I am"
    running.close()


def test_a_full_disk_is_waited_for() -> None:
    core = Echo()
    core.failure = NoSpace("the disk is full")
    running = started(InProcessTransport(), core)
    until(lambda: core.steps >= 2)
    core.failure = None
    steps = core.steps
    until(lambda: core.steps > steps)
    assert running.alive
    running.close()
    assert running.error is None


def test_it_ends_with_its_transport() -> None:
    transport = InProcessTransport()
    running = started(transport, Echo())
    transport.close()
    until(lambda: not running.alive)
    assert running.error is None


@pytest.mark.parametrize("failure", [StorageError("the disk is gone"), ZeroDivisionError("a bug")])
def test_what_it_cannot_go_on_from_is_kept(failure: Exception) -> None:
    core = Echo()
    core.failure = failure
    running = started(InProcessTransport(), core)
    until(lambda: not running.alive)
    assert str(failure) in str(running.error)


def test_waiting_ends_with_what_is_awaited_or_an_error() -> None:
    assert waited(lambda: 5, 0.0, "nothing", lambda: None) == 5
    with pytest.raises(ReplicationError, match=r"nothing came within 0\.01 s"):
        waited(lambda: 0, 0.01, "nothing came", lambda: None)

    def check() -> None:
        raise ReplicationError("no use")

    with pytest.raises(ReplicationError, match="no use"):
        waited(lambda: 0, 60.0, "nothing", check)
