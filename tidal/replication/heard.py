"""Who speaks of a log over a transport: to know before a follower is promoted who leads and who is ahead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Final

from tidal.errors import FormatError, FormatTooNew
from tidal.format.segment import LogIdentity
from tidal.records import record
from tidal.replication.lag import Position
from tidal.replication.messages import Batch, Heartbeat, Mark, decode_message
from tidal.replication.transport import Channels, Transport

LISTEN_SECONDS: Final = 2.5  # leaders speak twice a second, followers once at least

_RECEIVE_SECONDS = 0.05


@record
class Heard:
    """Who was heard of a log: the leader of the newest epoch, with that epoch, and followers by name."""

    leader: Position | None
    followers: Mapping[str, Position]


def listen(transport: Transport, log: LogIdentity, seconds: float) -> Heard:
    """Return who speaks of a log within so many seconds; nothing is sent. TransportError.

    Silence proves nothing: a leader that is cut off from the transport is not heard either.
    """
    channels = Channels(log.region, log.shard)
    leader: Position | None = None
    followers: dict[str, Position] = {}
    with (
        contextlib.closing(transport.subscribe(channels.log)) as from_leader,
        contextlib.closing(transport.subscribe(channels.marks)) as from_followers,
    ):
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            for payload in (from_leader.receive(_RECEIVE_SECONDS), from_followers.receive(_RECEIVE_SECONDS)):
                name, position = _speaker(payload, log)
                if position is None:
                    continue
                if name is not None:
                    followers[name] = position
                elif leader is None or position >= leader:
                    leader = position
    return Heard(leader, followers)


def _speaker(payload: bytes | None, log: LogIdentity) -> tuple[str | None, Position | None]:
    """Return a follower's name, None of a leader, and how far it is; no position of what is not its."""
    if payload is None:
        return None, None
    try:
        envelope, message = decode_message(payload)
    except (FormatError, FormatTooNew):
        return None, None
    if (envelope.store_id, envelope.region, envelope.shard) == (log.store_id, log.region, log.shard):
        match message:
            case Mark():
                return message.follower, Position(message.epoch, message.seq)
            case Heartbeat():
                return None, Position(envelope.epoch, message.seq)
            case Batch():
                return None, Position(envelope.epoch, message.durable_seq)
    return None, None
