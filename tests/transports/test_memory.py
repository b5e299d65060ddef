"""The transport within one process."""

from __future__ import annotations

from pathlib import Path

from tidal.replication import Subscription, Transport
from tidal.testing.transport import TransportTests
from tidal.transports import InProcessTransport


class TestInProcessTransport(TransportTests):
    alone = True

    def make(self, tmp_path: Path) -> InProcessTransport:
        return InProcessTransport()


def test_it_is_a_transport() -> None:
    transport = InProcessTransport()
    assert isinstance(transport, Transport)
    assert isinstance(transport.subscribe("a"), Subscription)


def test_messages_to_a_slow_receiver_are_dropped_and_counted() -> None:
    transport = InProcessTransport(queue_bytes=100)
    slow, quick = transport.subscribe("a"), transport.subscribe("a")
    for number in range(5):
        transport.send("a", bytes([number]) * 40)
        assert quick.receive(1.0) == bytes([number]) * 40
    assert transport.dropped == 3
    assert [slow.receive(0.0) for _ in range(3)] == [bytes([0]) * 40, bytes([1]) * 40, None]
    transport.send("a", b"room again")
    assert slow.receive(0.0) == b"room again"
