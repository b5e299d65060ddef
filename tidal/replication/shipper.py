"""The leader's side: what is durable goes to the followers, and nothing of the log goes before they have it.

A state machine without threads, sockets or a clock: messages and the present go in, messages come out. It
holds no events, only places in the log; what a follower lacks is read again when it asks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from tidal.errors import FormatError, FormatTooNew, MissingSegment, StaleEpoch
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.links import CATCHING_UP, DROPPED, FOREIGN, LIVE, SILENT
from tidal.meters import said
from tidal.records import record
from tidal.replication.feed import LogFeed, Origin, Place, Sent
from tidal.replication.messages import (
    OVERHEAD_BYTES,
    Answer,
    Batch,
    Envelope,
    Heartbeat,
    Mark,
    Message,
    Request,
    Want,
    decode_message,
    encode_message,
)
from tidal.replication.transport import Channels, Outgoing
from tidal.schema.durations import NS_PER_SECOND

PART_BYTES: Final = 512 << 10  # of one message, if the transport takes as many
RUN_BYTES: Final = 1 << 20  # of frames that are sent together
WINDOW_BYTES: Final = 8 << 20  # sent to a follower that catches up, before it says how far it is
HEARTBEAT_NS: Final = NS_PER_SECOND // 2
HOLD_NS: Final = NS_PER_SECOND  # between two times that marks are written to the disk
SILENT_NS: Final = 30 * NS_PER_SECOND  # after which a follower is not sent to
FORGET_NS: Final = 24 * 3600 * NS_PER_SECOND  # after which one that nothing is kept for is forgotten
FOLLOWERS_MAX: Final = 1_024  # by the names that messages say, which anybody may invent
_ENDS_KEPT: Final = 4_096

_logger = logging.getLogger(__name__)


@record
class FollowerStatus:
    """What a leader knows of a follower. Sequences; ``held_bytes`` of the log wait for it."""

    name: str
    seq: int  # it has, durably, and applied
    lag: int  # durable events that it has not
    last_seen: int | None  # ns by the leader's clock; None: never since the leader began to ship
    state: str  # one of tidal.links.FOLLOWER_STATES: "live", "catching up", "silent", "foreign", "dropped"
    refused: int  # messages that it could not use
    held_bytes: int = 0


class LogState(Protocol):
    """What a shipper asks of a log."""

    @property
    def last_seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...


@dataclass(slots=True)
class _Follower:
    name: str
    seq: int = 0
    held: int | None = None  # the mark that was written last
    seen: int | None = None
    place: Place | None = None  # while it catches up
    sent_bytes: int = 0  # since it last said how far it is
    refused: int = 0
    foreign: bool = False
    late: bool = False  # it lacks what the log has no longer
    keeps: bool = False  # the log is held back for it
    held_bytes: int = 0
    asked: bool = False  # it wants the log


@record
class Shipment:
    """What a shipper is made with. ``hold`` notes a follower's mark durably, None drops it."""

    identity: LogIdentity
    origin: Origin  # where the log ended when this leader began
    schema_hash: bytes
    max_payload: int
    answer: Callable[[Request, int], list[Message]] = lambda request, most: []  # to who begins
    hold: Callable[[str, int | None], None] = lambda name, seq: None
    hold_bytes: int | None = None  # of the log that one follower may keep; None: any


class WalShipper:
    """Sends a log. Calls must not overlap; what they return is to be sent, and may be lost.

    ``deposed`` is the error of a leader that another one has followed: it sends nothing more.
    """

    def __init__(
        self, feed: LogFeed, log: LogState, shipment: Shipment, followers: Iterable[str] = ()
    ) -> None:
        self.deposed: StaleEpoch | None = None
        self.refused = 0
        self.sent_bytes = 0
        self._feed, self._log, self._shipment = feed, log, shipment
        self._channels = Channels(shipment.identity.region, shipment.identity.shard)
        self._part_bytes = min(PART_BYTES, shipment.max_payload - OVERHEAD_BYTES)
        self._followers = {name: _Follower(name, keeps=True) for name in followers}
        self._dropped: set[str] = set()
        self._ends: dict[int, bytes] = {}  # hashes where followers are likely to be, oldest first
        self._live: Place | None = None  # up to where those that do not catch up were sent to
        self._beat_at: int | None = None
        self._held_at: int | None = None

    @property
    def channels(self) -> Channels:
        """Where to send, and to listen."""
        return self._channels

    def followers(self, now: int) -> tuple[FollowerStatus, ...]:
        """Return what is known of each follower, by name; may be called while another call works."""
        durable = self._log.durable_seq
        return tuple(
            FollowerStatus(
                it.name, it.seq, max(0, durable - it.seq), it.seen, self._state(it, now), it.refused,
                it.held_bytes,
            )
            for it in sorted(self._followers.copy().values(), key=lambda it: it.name)
        )  # fmt: skip

    @property
    def wanted(self) -> bool:
        """Whether somebody is there to be sent to."""
        return any(it.asked for it in self._followers.values())

    def forget(self, name: str) -> None:
        """Keep the log for a follower no longer."""
        if (follower := self._followers.pop(name, None)) is not None and follower.keeps:
            self._shipment.hold(name, None)

    # ------------------------------------------------------------------------------ in

    def on_message(self, data: bytes, now: int) -> list[Outgoing]:
        """Take in what a follower says, and return what to answer. A message that is none is counted."""
        try:
            envelope, message = decode_message(data)
        except (FormatError, FormatTooNew) as error:
            return self._refuse(str(error))
        mine = self._shipment.identity
        if (envelope.region, envelope.shard) != (mine.region, mine.shard):
            return self._refuse(f"a message of region {envelope.region}, shard {envelope.shard}")
        new = isinstance(message, Request) and message.want not in (Want.LOG, Want.PLACE)
        if envelope.store_id != mine.store_id and not (new and not any(envelope.store_id)):
            return self._refuse(f"a message of a follower of store {envelope.store_id.hex()}")
        if envelope.epoch > mine.epoch:
            self.depose(envelope.epoch)
        if self.deposed is not None or not isinstance(message, Mark | Request):
            return []
        if (follower := self._follower(message.follower, now)) is None:
            return self._refuse(f"{message.follower!r} would be one follower more than {FOLLOWERS_MAX}")
        follower.seen = now
        return (
            self._on_mark(follower, message, now)
            if isinstance(message, Mark)
            else self._on_request(follower, message, now)
        )

    def _follower(self, name: str, now: int) -> _Follower | None:
        """Return what is known of a follower, which may be new; None where there are too many."""
        if (known := self._followers.get(name)) is not None:
            return known
        if len(self._followers) >= FOLLOWERS_MAX:
            self._forget_silent(now, SILENT_NS)
        if len(self._followers) >= FOLLOWERS_MAX:
            return None
        return self._followers.setdefault(name, _Follower(name))

    def _forget_silent(self, now: int, since: int) -> None:
        """Forget those of whom nothing was heard for so long, and for whom nothing is kept."""
        self._followers = {
            name: it
            for name, it in self._followers.items()
            if it.keeps or it.seen is None or now - it.seen < since
        }

    def _on_mark(self, follower: _Follower, mark: Mark, now: int) -> list[Outgoing]:
        follower.refused = mark.refused
        if mark.seq <= follower.seq and follower.asked and not follower.foreign:
            return []
        has = self._notes(follower, mark.seq, mark.hash)
        if has is False:
            return self._answer(mark.seq, mark.hash, mark.epoch, now)
        if has:
            follower.seq, follower.sent_bytes = max(follower.seq, mark.seq), 0
            if not follower.asked and follower.place is None:
                self._begin_at(follower, mark.seq)
        return []

    def _on_request(self, follower: _Follower, request: Request, now: int) -> list[Outgoing]:
        if request.want == Want.PLACE:
            return self._answer(request.seq, request.hash, request.number, now)
        if request.want != Want.LOG:
            answers = self._shipment.answer(request, self._part_bytes)
            return [self._outgoing(answer, now) for answer in answers]
        if not self._notes(follower, request.seq, request.hash):
            return self._answer(request.seq, request.hash, request.number, now)
        follower.seq, follower.sent_bytes = request.seq, 0  # lower than before where it lost its disk
        self._begin_at(follower, request.seq)
        return [self._heartbeat(now)] if follower.place is None else self._catch_up(follower, now)

    def _begin_at(self, follower: _Follower, seq: int) -> None:
        """Send a follower the log from a place on, where the log still has it."""
        follower.place = self._place(seq)
        follower.asked, follower.late = follower.place is not None, follower.place is None

    def _answer(self, seq: int, digest: bytes, epoch: int, now: int) -> list[Outgoing]:
        """Say whether this log has a place that a follower has, which calls it of an epoch."""
        if (has := self._has(seq, digest)) is None:
            return [self._heartbeat(now)]  # it says where this log begins
        origin = self._feed.epoch_after(epoch) or self._shipment.origin
        return [self._outgoing(Answer(seq, digest, has, *origin), now)]

    def _notes(self, follower: _Follower, seq: int, digest: bytes) -> bool | None:
        """Return whether a follower's log is the beginning of this one; None if this begins later."""
        has = self._has(seq, digest)
        follower.foreign, follower.late = has is False, has is None
        return has

    def _has(self, seq: int, digest: bytes) -> bool | None:
        """Return whether a batch with this hash ends at a sequence; None if the log begins later."""
        if seq > self._log.durable_seq:
            return False
        if (known := self._ends.get(seq)) is None:
            try:
                place = self._at(seq)
            except MissingSegment:
                return None
            known = None if place is None else place.hash
        return known == digest

    def _place(self, seq: int) -> Place | None:
        try:
            return self._at(seq)
        except MissingSegment:
            return None

    def _at(self, seq: int) -> Place | None:
        origin = self._shipment.origin
        return Place(seq, origin.hash) if seq == origin.seq else self._feed.at(seq)

    def depose(self, epoch: int) -> None:
        """End this leader: there is one of a later epoch."""
        mine = self._shipment.identity.epoch
        if self.deposed is None:
            about = said("deposed", epoch=mine, other_epoch=epoch)
            text = "another leader of epoch %d was met; this one, of epoch %d, ends"
            _logger.error(text, epoch, mine, extra=about)
        self.deposed = self.deposed or StaleEpoch(
            f"another node leads in epoch {epoch}, this one led in epoch {mine}: close it, and open its "
            "folder with tidal.open_follower()"
        )

    def _refuse(self, reason: str) -> list[Outgoing]:
        self.refused += 1
        _logger.warning("a message was refused: %s", reason, extra=said("message_refused"))
        return []

    # ------------------------------------------------------------------------------ out

    def step(self, now: int) -> list[Outgoing]:
        """Return what is to be sent now; to be called whenever events may be durable, or time went by."""
        if self.deposed is not None:
            return []
        out: list[Outgoing] = []
        for follower in self._followers.values():
            if follower.place is not None and not self._is_silent(follower, now):
                out += self._catch_up(follower, now)
        if any(self._is_live(follower, now) for follower in self._followers.values()):
            out += self._send_live(now)
        else:
            self._live = None
        if self._beat_at is None or not 0 <= now - self._beat_at < HEARTBEAT_NS:
            self._beat_at = now
            out.append(self._heartbeat(now))
        if self._held_at is None or not 0 <= now - self._held_at < HOLD_NS:
            self._held_at = now
            self._forget_silent(now, FORGET_NS)
            self._hold_marks()
        return out

    def _send_live(self, now: int) -> list[Outgoing]:
        out: list[Outgoing] = []
        sent_bytes = 0
        while self._live is not None and sent_bytes < WINDOW_BYTES:
            try:
                sent = self._feed.read(self._live, self._log.durable_seq, RUN_BYTES)
            except MissingSegment:  # archived while nothing could be sent: each begins where it is
                for follower in self._followers.values():
                    follower.asked = follower.asked and follower.place is not None
                self._live = None
                break
            if sent is None:
                break
            self._live = sent.place
            sent_bytes += len(sent.run.data)
            out += self._parts(sent, now)
        return out

    def _catch_up(self, follower: _Follower, now: int) -> list[Outgoing]:
        """Send to one that is behind, as much as it may have under way; when it is level, it is live."""
        out: list[Outgoing] = []
        while (place := follower.place) is not None and follower.sent_bytes < WINDOW_BYTES:
            if self._live is not None and place.seq >= self._live.seq:
                follower.place = None
                break
            try:
                sent = self._feed.read(place, self._log.durable_seq, RUN_BYTES)
            except MissingSegment:  # archived meanwhile: the heartbeat says where the log begins now
                follower.place, follower.asked = None, False
                break
            if sent is None:
                follower.place, self._live = None, self._live or place
                break
            follower.place = sent.place
            follower.sent_bytes += len(sent.run.data)
            out += self._parts(sent, now)
        return out

    def _parts(self, sent: Sent, now: int) -> list[Outgoing]:
        run = sent.run
        self.sent_bytes += len(run.data)
        self._ends[sent.place.seq] = sent.place.hash
        if len(self._ends) > _ENDS_KEPT:
            del self._ends[next(iter(self._ends))]
        return [
            self._outgoing(
                Batch(
                    run.header, run.offset, sent.first_seq, sent.place.seq, self._log.durable_seq,
                    len(run.data), part_at, run.data[part_at : part_at + self._part_bytes],
                ),
                now,
            )
            for part_at in range(0, len(run.data), self._part_bytes)
        ]  # fmt: skip

    def _heartbeat(self, now: int) -> Outgoing:
        origin, durable = self._shipment.origin, self._log.durable_seq
        beat = Heartbeat(
            self._feed.start_seq(durable + 1), durable, self._ends.get(durable, NO_HASH),
            max(durable, self._log.last_seq), *origin, self._shipment.schema_hash,
        )  # fmt: skip
        return self._outgoing(beat, now)

    def _outgoing(self, message: Message, now: int) -> Outgoing:
        mine = self._shipment.identity
        envelope = Envelope(mine.store_id, mine.region, mine.shard, mine.epoch, now)
        return Outgoing(self._channels.log, encode_message(envelope, message))

    # ------------------------------------------------------------------------------ what is kept for them

    def _hold_marks(self) -> None:
        """Note how far followers are, so that the log keeps what they lack, as far as it may."""
        segments = self._feed.sizes()
        ends = [base_seq - 1 for base_seq, _ in segments[1:]] + [self._log.last_seq]
        for follower in self._followers.values():
            follower.held_bytes = sum(
                size for (_, size), last in zip(segments, ends, strict=False) if last > follower.seq
            )
            if not follower.keeps:
                continue
            limit = self._shipment.hold_bytes
            if limit is not None and follower.held_bytes > limit:
                self._drop(follower, limit)
            elif follower.held != (seq := max(follower.seq, segments[0][0] - 1 if segments else 0)):
                self._shipment.hold(follower.name, seq)
                follower.held = seq

    def _drop(self, follower: _Follower, limit: int) -> None:
        _logger.warning(
            "the follower %s keeps %d bytes of the log, more than the %d it may; they are kept no "
            "longer, and it will have to begin with a checkpoint", follower.name, follower.held_bytes, limit,
            extra=said("follower_dropped", follower=follower.name, bytes=follower.held_bytes),
        )  # fmt: skip
        self._shipment.hold(follower.name, None)
        follower.keeps, follower.held = False, None
        self._dropped.add(follower.name)

    # ------------------------------------------------------------------------------ states

    def _is_silent(self, follower: _Follower, now: int) -> bool:
        return follower.seen is None or not 0 <= now - follower.seen < SILENT_NS

    def _is_live(self, follower: _Follower, now: int) -> bool:
        return follower.asked and follower.place is None and not self._is_silent(follower, now)

    def _state(self, follower: _Follower, now: int) -> str:
        if follower.foreign:
            return FOREIGN
        if self._is_live(follower, now):
            return LIVE
        if follower.name in self._dropped or follower.late:
            return DROPPED
        return SILENT if self._is_silent(follower, now) else CATCHING_UP
