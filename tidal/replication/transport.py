"""What carries messages between leaders and followers: any broker, file system or queue that keeps this.

Little is asked, so that much can be used. Messages are bytes on named channels. Each subscriber of a
channel should get what is sent after it subscribed; but a message may be lost, come twice, or after a
later one, and nobody is told. Leaders and followers find that out by sequences and hashes, and ask again.

``tidal.testing.transport`` has the tests that an implementation must pass.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

from tidal.records import record


class Outgoing(NamedTuple):
    """A message that is to be sent."""

    channel: str
    payload: bytes


@record
class Channels:
    """The channels of one region and shard.

    >>> Channels(1, 2).log
    'log/1/2'
    """

    region: int = 0
    shard: int = 0

    @property
    def log(self) -> str:
        """From the leader to its followers."""
        return f"log/{int(self.region)}/{int(self.shard)}"

    @property
    def marks(self) -> str:
        """From the followers to the leader."""
        return f"marks/{int(self.region)}/{int(self.shard)}"


@runtime_checkable
class Subscription(Protocol):
    """Messages of one channel, for one receiver. One thread receives; any may close."""

    @property
    def closed(self) -> bool:
        """Whether nothing more will come: the subscription or its transport was closed."""

    def receive(self, timeout: float) -> bytes | None:
        """Return the next message, or None if none came within ``timeout`` seconds or the end is reached.

        What had come before a close is still returned. TransportError if the connection failed: it may be
        called again.
        """

    def close(self) -> None:
        """Receive nothing more; who waits in receive() is woken. A second close does nothing."""


@runtime_checkable
class Transport(Protocol):
    """Lossy, unordered channels of bytes, and names that can be claimed once. Safe to share by threads.

    Names of channels and claims are of A-Z a-z 0-9 _ . - and / between parts, 1 to 200 characters.
    """

    @property
    def max_payload(self) -> int:
        """The most bytes that one message may have: 4,096 at least."""

    def send(self, channel: str, payload: bytes) -> None:
        """Send a message to who has subscribed to the channel; it may not arrive.

        Never waits for a receiver: where one is too slow, messages to it are dropped. PayloadTooLarge,
        TransportClosed; TransportError if it is known that it was not sent: try again later.
        """

    def subscribe(self, channel: str) -> Subscription:
        """Return a subscription to what is sent to the channel from now on. Errors as send()."""

    def claim(self, name: str, value: bytes) -> bytes:
        """Give a name this value if it has none, and return the value that it has: for ever, and for all.

        This alone is exact: of all that claim one name, at the same moment too, one wins. TransportError
        where the outcome is not known: claim it again with the same value.
        """

    def claimed(self, name: str) -> bytes | None:
        """Return the value that a name was given; None if it has none, as far as this node can see.

        Leaders ask this every few seconds: it should be cheap, and come back soon. TransportError where it is
        not known.
        """

    def close(self) -> None:
        """Release what is held, and close all subscriptions. A second close does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
