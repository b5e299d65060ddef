"""What every transport must do, as tests: subclass TransportTests and say how to make yours.

::

    class TestMyTransport(TransportTests):
        def make(self, tmp_path: Path) -> Transport:
            return MyTransport(tmp_path)

Two transports made for the same folder must reach each other, unless ``alone`` is set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidal.errors import InvalidOption, PayloadTooLarge, TransportClosed
from tidal.replication.transport import Subscription, Transport

PATIENCE_SECONDS = 20.0  # for what must come; a good transport is far quicker
_SILENCE_SECONDS = 0.1  # for what must not come


class TransportTests:
    """Tests of the Transport protocol. ``make`` returns a new transport for a folder."""

    alone = False
    """Whether two transports for one folder know nothing of each other: tests of two nodes are left out."""

    def make(self, tmp_path: Path) -> Transport:
        raise NotImplementedError("return the transport under test")

    @pytest.fixture
    def transport(self, tmp_path: Path) -> Iterator[Transport]:
        transport = self.make(tmp_path)
        yield transport
        transport.close()

    @pytest.fixture
    def other(self, transport: Transport, tmp_path: Path) -> Iterator[Transport]:
        """Another node's: the same one, where transports know nothing of each other."""
        other = transport if self.alone else self.make(tmp_path)
        yield other
        other.close()

    # ------------------------------------------------------------------ messages

    @pytest.mark.parametrize("payload", [b"", b"\0", bytes(range(256)), b"x" * 4096], ids=len)
    def test_a_message_arrives_as_it_is(self, transport: Transport, other: Transport, payload: bytes) -> None:
        subscription = other.subscribe("log/0/0")
        assert deliver(transport, subscription, "log/0/0", payload) == payload

    def test_the_largest_message_arrives(self, transport: Transport, other: Transport) -> None:
        assert transport.max_payload >= 4096
        payload = (b"0123456789abcdef" * (transport.max_payload // 16 + 1))[: transport.max_payload]
        assert deliver(transport, other.subscribe("log/0/0"), "log/0/0", payload) == payload

    def test_a_larger_message_is_refused(self, transport: Transport) -> None:
        with pytest.raises(PayloadTooLarge, match=str(transport.max_payload)):
            transport.send("log/0/0", bytes(transport.max_payload + 1))

    def test_every_subscriber_gets_every_message(self, transport: Transport, other: Transport) -> None:
        subscriptions = [transport.subscribe("a/b"), other.subscribe("a/b"), other.subscribe("a/b")]
        wanted = {f"message {number}".encode() for number in range(20)}
        for subscription in subscriptions:
            resend(transport, "a/b", wanted, lambda it=subscription: gather(it, wanted))  # type: ignore[misc]

    def test_channels_are_apart(self, transport: Transport, other: Transport) -> None:
        names = ["log/0/0", "log/0/1", "log/1/0", "marks/0/0", "log/0/00", "log-0-0", "log.0.0", "log_0_0"]
        subscriptions = {name: other.subscribe(name) for name in names}
        for name in names:
            assert deliver(transport, subscriptions[name], name, name.encode()) == name.encode()
        for name, subscription in subscriptions.items():
            while (late := subscription.receive(_SILENCE_SECONDS / 4)) is not None:
                assert late == name.encode()

    def test_what_was_sent_before_is_not_needed(self, transport: Transport, other: Transport) -> None:
        transport.send("log/0/0", b"before anybody listens")
        payload = deliver(transport, other.subscribe("log/0/0"), "log/0/0", b"after")
        assert payload == b"after"

    @pytest.mark.parametrize("name", ["", "/", "a//b", "/a", "a/", "a b", "a/../b", "..", "x" * 201, "ü", 7])
    def test_names_are_checked(self, transport: Transport, name: str) -> None:
        for use in (
            lambda: transport.send(name, b""),
            lambda: transport.subscribe(name),
            lambda: transport.claim(name, b""),
            lambda: transport.claimed(name),
        ):
            with pytest.raises(InvalidOption, match="write 1 to 200"):
                use()

    def test_a_message_belongs_to_the_transport_once_it_is_sent(
        self, transport: Transport, other: Transport
    ) -> None:
        subscription, payload = other.subscribe("a"), bytearray(b"as it was")
        transport.send("a", payload)  # type: ignore[arg-type]  # what a caller may pass nevertheless
        payload[:] = b"otherwise"
        assert subscription.receive(PATIENCE_SECONDS) in (b"as it was", None)

    # ------------------------------------------------------------------ waiting and closing

    def test_a_receiver_waits_no_longer_than_it_is_told(self, transport: Transport) -> None:
        subscription = transport.subscribe("log/0/0")
        begun = time.monotonic()
        assert subscription.receive(0.0) is None
        assert subscription.receive(_SILENCE_SECONDS) is None
        assert time.monotonic() - begun < PATIENCE_SECONDS
        assert not subscription.closed

    def test_who_waits_is_woken_by_the_end(self, transport: Transport) -> None:
        for close in (lambda it: it.close(), lambda it: transport.close()):
            subscription = transport.subscribe("log/0/0")
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(subscription.receive, 10 * PATIENCE_SECONDS)
                close(subscription)
                assert waiting.result(PATIENCE_SECONDS) is None
            assert subscription.closed

    def test_a_closed_transport_refuses(self, transport: Transport) -> None:
        subscription = transport.subscribe("log/0/0")
        transport.close()
        transport.close()
        assert subscription.receive(0.0) is None
        assert subscription.closed
        for use in (
            lambda: transport.send("log/0/0", b""),
            lambda: transport.subscribe("log/0/0"),
            lambda: transport.claim("epoch/1", b""),
            lambda: transport.claimed("epoch/1"),
        ):
            with pytest.raises(TransportClosed):
                use()

    def test_a_closed_subscription_leaves_the_others(self, transport: Transport, other: Transport) -> None:
        closed, open_ = other.subscribe("log/0/0"), other.subscribe("log/0/0")
        closed.close()
        closed.close()
        assert deliver(transport, open_, "log/0/0", b"goes on") == b"goes on"
        assert closed.receive(0.0) is None

    def test_sending_does_not_wait_for_receivers(self, transport: Transport) -> None:
        """A subscriber that never receives holds nobody up."""
        transport.subscribe("log/0/0")
        for _ in range(200):
            transport.send("log/0/0", bytes(4096))

    def test_it_is_closed_at_the_end_of_a_block(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as transport:
            subscription = transport.subscribe("log/0/0")
        assert subscription.closed

    # ------------------------------------------------------------------ claims

    def test_the_first_claim_wins(self, transport: Transport, other: Transport) -> None:
        assert transport.claim("epoch/7", b"one") == b"one"
        assert other.claim("epoch/7", b"two") == b"one"
        assert transport.claim("epoch/7", b"one") == b"one"
        assert other.claim("epoch/8", b"") == b""
        assert transport.claim("epoch/8", b"late") == b""

    def test_what_was_claimed_can_be_looked_up(self, transport: Transport, other: Transport) -> None:
        assert other.claimed("epoch/7") is None
        assert transport.claim("epoch/7", b"one") == b"one"
        assert other.claimed("epoch/7") == transport.claimed("epoch/7") == b"one"
        assert transport.claim("epoch/8", b"") == other.claimed("epoch/8") == b""
        assert other.claimed("epoch/9") is None

    def test_one_of_many_at_once_wins(self, transport: Transport, other: Transport) -> None:
        nodes = [transport, other] * 4
        for number in range(5):
            start = threading.Barrier(len(nodes))

            def claim(who: int, name: str = f"epoch/{number}", start: threading.Barrier = start) -> bytes:
                start.wait(PATIENCE_SECONDS)
                return nodes[who].claim(name, str(who).encode())

            with ThreadPoolExecutor(len(nodes)) as pool:
                winners = set(pool.map(claim, range(len(nodes))))
            assert len(winners) == 1

    # ------------------------------------------------------------------ threads

    def test_threads_may_send_at_once(self, transport: Transport, other: Transport) -> None:
        subscription = other.subscribe("log/0/0")
        wanted = {f"{sender}/{number}".encode() * 50 for sender in range(4) for number in range(25)}

        def send(payload: bytes) -> None:
            transport.send("log/0/0", payload)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, sorted(wanted)))
        missing = wanted - gather(subscription, wanted)
        resend(transport, "log/0/0", missing, lambda: gather(subscription, missing))


def gather(subscription: Subscription, wanted: set[bytes]) -> set[bytes]:
    """Return the messages that come before a silence, which must all be wanted ones."""
    found: set[bytes] = set()
    while found != wanted and (payload := subscription.receive(2 * _SILENCE_SECONDS)) is not None:
        found.add(payload)
    return found


def deliver(transport: Transport, subscription: Subscription, channel: str, payload: bytes) -> bytes:
    """Return the first message that comes of one that is sent until it does: a transport may lose some."""
    for _ in range(20):
        transport.send(channel, payload)
        if (found := subscription.receive(PATIENCE_SECONDS / 20)) is not None:
            return found
    raise AssertionError(f"nothing arrived on {channel}")


def resend(transport: Transport, channel: str, wanted: set[bytes], gather: Callable[[], set[bytes]]) -> None:
    """Send messages until each has come once."""
    missing = set(wanted)
    for _ in range(20):
        for payload in sorted(missing):
            transport.send(channel, payload)
        found = gather()
        assert found <= wanted, f"messages that nobody sent: {found - wanted}"
        missing -= found
        if not missing:
            return
    raise AssertionError(f"{len(missing)} of {len(wanted)} messages never arrived on {channel}")
