"""Who speaks of a log: the newest of each, and nothing of other logs."""

from __future__ import annotations

import threading

from tidal.format.segment import LogIdentity
from tidal.replication.heard import Heard, listen
from tidal.replication.lag import Position
from tidal.replication.messages import Batch, Envelope, Heartbeat, Mark, Message, encode_message
from tidal.transports import InProcessTransport

LOG = LogIdentity(bytes(range(16)), 0, 1, 2)


class Said(InProcessTransport):
    """A transport on which all was said by the time that somebody listens."""

    def __init__(self, messages: list[tuple[str, bytes]]) -> None:
        super().__init__()
        self._messages = messages

    def subscribe(self, channel: str):  # type: ignore[no-untyped-def]
        subscription = super().subscribe(channel)
        for name, payload in self._messages:
            if name == channel:
                self.send(channel, payload)
        return subscription


def message(body: Message, epoch: int = 1, log: LogIdentity = LOG) -> bytes:
    return encode_message(Envelope(log.store_id, log.region, log.shard, epoch, 0), body)


def beat(seq: int) -> Heartbeat:
    return Heartbeat(1, seq, bytes(32), seq, 1, 0, bytes(32), bytes(32))


def mark(name: str, seq: int, epoch: int) -> Mark:
    return Mark(name, seq, 0, bytes(32), epoch)


def test_the_newest_of_each_is_returned() -> None:
    transport = Said(
        [
            ("log/1/2", message(beat(10), epoch=3)),
            ("log/1/2", message(beat(500), epoch=2)),  # of an older leader
            ("log/1/2", message(Batch(bytes(64), 64, 11, 20, 25, 1, 0, b"x"), epoch=3)),
            ("marks/1/2", message(mark("b", 5, 2), epoch=3)),
            ("marks/1/2", message(mark("c", 7, 1), epoch=3)),
            ("marks/1/2", message(mark("b", 9, 3), epoch=3)),
        ]
    )
    heard = listen(transport, LOG, 0.3)
    assert heard == Heard(Position(3, 25), {"b": Position(3, 9), "c": Position(1, 7)})


def test_other_logs_and_damage_are_passed_over() -> None:
    other = LogIdentity(bytes(16), 0, 1, 2)
    transport = Said(
        [
            ("log/1/2", message(beat(10), log=other)),
            ("log/1/2", message(beat(10))[:-1] + b"?"),
            ("marks/1/2", b""),
            ("log/0/0", message(beat(10), log=LogIdentity(LOG.store_id, 0))),
        ]
    )
    assert listen(transport, LOG, 0.2) == Heard(None, {})


def test_nothing_is_left_open() -> None:
    transport, threads = Said([]), threading.active_count()
    assert listen(transport, LOG, 0.0) == Heard(None, {})
    assert threads == threading.active_count()
    transport.send("log/1/2", b"nobody has this")
    assert transport.dropped == 0 and transport._subscriptions["log/1/2"] == []
