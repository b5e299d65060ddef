"""A follower's side: what comes is checked whole, put in order, and taken in; what is missing is asked for.

A state machine as the shipper: without threads, sockets or a clock. It remembers nothing on the disk, since
the end of the follower's own log says how far it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from tidal.errors import (
    ForeignHistory,
    FormatError,
    FormatTooNew,
    NoSpace,
    ReplicationError,
    SchemaBehind,
    SchemaError,
    StaleEpoch,
)
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.meters import said
from tidal.records import record
from tidal.replication.assembly import Assembly
from tidal.replication.feed import Origin
from tidal.replication.frames import NO_EPOCH, CheckedRun, Run, check_run
from tidal.replication.lag import Lag, Position, Progress
from tidal.replication.messages import (
    Answer,
    Batch,
    Envelope,
    Heartbeat,
    Mark,
    Message,
    Offer,
    Request,
    Want,
    decode_message,
    encode_message,
)
from tidal.replication.offer import decode_offer
from tidal.replication.parting import OwnLog, Parting
from tidal.replication.transport import Channels, Outgoing
from tidal.schema.durations import NS_PER_SECOND
from tidal.wal.segments import Link

MARK_NS: Final = NS_PER_SECOND // 20  # between two marks, while much comes
IDLE_MARK_NS: Final = NS_PER_SECOND  # while nothing comes
PATIENCE_NS: Final = NS_PER_SECOND // 2  # for what the leader has and is not here, before it is asked for
BACK_OFF_NS: Final = 8 * NS_PER_SECOND  # the longest time between two requests for the same
REASONS_KEPT: Final = 16

_logger = logging.getLogger(__name__)


class Host(OwnLog, Protocol):
    """The store that a receiver feeds."""

    @property
    def end(self) -> Link:
        """The end of its log, which is durable; of NO_EPOCH where the log has no event."""

    @property
    def position(self) -> Position:
        """How far its log is, to be compared with those of others."""

    @property
    def applied_seq(self) -> int:
        """How far the log is that is applied, too: what reads answer from; for any thread."""

    @property
    def epoch(self) -> int:
        """The newest epoch that it knows, durably."""

    def raise_epoch(self, epoch: int) -> None:
        """Note durably that there is a leader of this epoch."""

    def take(self, run: CheckedRun) -> None:
        """Log and apply frames that continue its log. NoSpace with some of the first ones taken."""

    @property
    def schema_hash(self) -> bytes:
        """The BLAKE3 of its schema's file."""

    def adopt_schema(self, document: bytes) -> None:
        """Go on with the schema of the leader, which may only have grown; SchemaError."""

    def rewind(self, seq: int, digest: bytes) -> None:
        """Cut the log after ``seq``, where its hash must be this one and the archive must not go further;
        ForeignHistory if it is not so.
        """


@record
class Refusal:
    """A message that could not be used, and why."""

    at: int  # ns
    reason: str


class SegmentReceiver:
    """Takes in a leader's log. Calls must not overlap; what they return is to be sent, and may be lost.

    ``refused`` counts messages that changed nothing: damaged, foreign, or of a leader that another one
    followed; ``refusals`` are the latest. ``duplicates`` counts those whose events were here already.
    ``stopped`` is the error after which nothing is taken in, or None.
    """

    def __init__(self, host: Host, identity: LogIdentity, name: str) -> None:
        self.refused = 0
        self.refusals: list[Refusal] = []
        self.duplicates = 0
        self.stopped: ReplicationError | None = None
        self.leader: Heartbeat | None = None  # what the leader said last
        self._host, self._identity, self._name = host, identity, name
        self._channels = Channels(identity.region, identity.shard)
        self._assembly = Assembly()
        self._parting = Parting(host)
        self._later = False  # what is here is of a later epoch than the leader's, and not its
        self._progress = Progress()
        self._marked_at: int | None = None
        self._marked_seq: int | None = None
        self._asked_at: int | None = None
        self._asked_seq = -1
        self._pause = PATIENCE_NS
        self._behind_since: int | None = None
        self._schema_asked_at: int | None = None

    @property
    def channels(self) -> Channels:
        """Where to listen, and to send."""
        return self._channels

    def lag(self, now: int) -> Lag:
        """Return how far this follower is behind what it knows of its leader. For any thread."""
        return self._progress.lag(self._host.applied_seq, now)

    @property
    def unhealthy(self) -> str | None:
        """Why the follower cannot go on by itself, or None."""
        if self.stopped is not None:
            return str(self.stopped)
        leader, end = self.leader, self._host.end
        if self._later:
            return (
                f"this log has events of epoch {end.epoch}, and its leader, of epoch {self._host.epoch}, has "
                "them not: if no later one leads, move the folder away, and begin anew by "
                "tidal.open_follower()"
            )
        if leader is not None and leader.start_seq > end.last_seq + 1:
            return (
                f"the leader's log begins at event {leader.start_seq}, and this one ends at {end.last_seq}: "
                "begin anew with a checkpoint, by tidal.open_follower() on an empty folder"
            )
        return None

    # ------------------------------------------------------------------------------ in

    def on_message(self, data: bytes, now: int) -> list[Outgoing]:
        """Take in what a leader says, and return what to answer.

        What cannot be used changes nothing, is counted and kept in ``refusals``. StorageError: the store
        failed, and must be opened again; NoSpace: the rest is asked for again.
        """
        if self.stopped is not None:
            return []
        try:
            envelope, message = decode_message(data)
            self._check_sender(envelope)
            if isinstance(message, Batch):
                self._progress.note(message.durable_seq, envelope.sent_at)
                return self._on_batch(message, now)
            if isinstance(message, Heartbeat):
                self._progress.note(message.seq, envelope.sent_at)
                return self._on_heartbeat(message, now)
            if isinstance(message, Answer) and self.leader is not None:
                return self._go_back(lambda: self._parting.on_answer(message), now)
            if isinstance(message, Offer):
                self._on_offer(message, now)
        except (FormatError, FormatTooNew, ForeignHistory) as error:
            self._refuse(str(error), now)
        except StaleEpoch as error:
            self._refuse(str(error), now)
            return self._mark_if_due(now, MARK_NS)  # so that the older leader hears of the later epoch
        return []

    def _check_sender(self, envelope: Envelope) -> None:
        mine, place = self._identity, f"region {envelope.region}, shard {envelope.shard}"
        if (envelope.store_id, envelope.region, envelope.shard) != (mine.store_id, mine.region, mine.shard):
            raise ForeignHistory(f"a message of store {envelope.store_id.hex()}, {place}")
        if envelope.epoch < self._host.epoch:
            raise StaleEpoch(
                f"a message of a leader of epoch {envelope.epoch}; there is one of {self._host.epoch}"
            )
        if envelope.epoch > self._host.epoch:
            self._host.raise_epoch(envelope.epoch)
            self._begin_again()
            self.leader = None

    def _on_batch(self, batch: Batch, now: int) -> list[Outgoing]:
        end = self._host.end
        if batch.last_seq <= end.last_seq:
            self.duplicates += 1
            return []
        self._assembly.add(batch)
        while (run := self._assembly.next_after(self._host.end.last_seq)) is not None:
            if not self._take(run, now):
                break
        if self._host.end.last_seq > end.last_seq:
            self._pause = PATIENCE_NS
            return self._mark_if_due(now, MARK_NS)
        return self._ask_if_due(now) if self._assembly.is_whole(batch) else []

    def _take(self, run: Run, now: int) -> bool:
        """Take in a run, and return whether the log has grown."""
        before = self._host.end.last_seq
        try:
            checked = check_run(run, self._identity, self._host.end)
            if checked.frames:
                self._host.take(checked)
        except (FormatError, FormatTooNew, ForeignHistory, SchemaBehind) as error:
            self._refuse(str(error), now)
        except NoSpace as error:
            about = said("gap", error_type=type(error).__name__)
            _logger.warning("%s; what is missing is asked for again", error, extra=about)
        return self._host.end.last_seq > before

    def _on_heartbeat(self, beat: Heartbeat, now: int) -> list[Outgoing]:
        self.leader = beat
        end = self._host.end
        if NO_EPOCH < end.epoch < beat.origin_epoch and end.last_seq > beat.origin_seq:
            if self._parting.asked is not None:
                return self._ask_if_due(now)
            origin = Origin(beat.origin_epoch, beat.origin_seq, beat.origin_hash)
            return self._go_back(lambda: self._parting.on_foreign(end.last_seq, origin), now)
        if beat.seq == end.last_seq and beat.hash not in (NO_HASH, end.final_hash):
            self._refuse(f"the leader has another batch than this log at event {end.last_seq}", now)
            return self._ask_if_due(now)
        if self._host.end.last_seq >= beat.seq:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        return self._ask_schema(now) if beat.schema != self._host.schema_hash else []

    def _on_offer(self, offer: Offer, now: int) -> None:
        try:
            self._host.adopt_schema(decode_offer(offer.document).schema)
        except SchemaError as error:
            self._refuse(str(error), now)

    def _go_back(self, find: Callable[[], tuple[int, bytes] | None], now: int) -> list[Outgoing]:
        """Give up what the leader never had, once it is known where that begins."""
        try:
            if (place := find()) is None:
                return [] if self._parting.asked is None else self._ask_if_due(now)
            if self._is_later():
                return []
            self._rewind(*place)
        except ForeignHistory as error:
            if not self._is_later():
                self._stop(error)
            return []
        return self._ask_if_due(now)

    def _is_later(self) -> bool:
        """Return whether this log is of a later epoch than its leader, who then has no say in it."""
        self._later = self._host.end.epoch > self._host.epoch
        return self._later

    def _rewind(self, seq: int, digest: bytes) -> None:
        leader = self.leader
        if leader is not None and leader.start_seq > seq + 1:
            raise ForeignHistory(
                f"this log and the leader's part after event {seq}, and that one begins at "
                f"{leader.start_seq}: move the folder away, and begin anew by tidal.open_follower()"
            )
        self._host.rewind(seq, digest)
        self._begin_again()

    def _begin_again(self) -> None:
        """Forget what was found out for another leader, or a longer log."""
        self._assembly.clear()
        self._parting, self._later = Parting(self._host), False
        self._pause, self._asked_at = PATIENCE_NS, None

    def _stop(self, error: ReplicationError) -> None:
        about = said("follower_stopped", error_type=type(error).__name__)
        _logger.error("this follower cannot go on: %s", error, extra=about)
        self.stopped = error

    def _refuse(self, reason: str, now: int) -> None:
        self.refused += 1
        self.refusals = [*self.refusals[1 - REASONS_KEPT :], Refusal(now, reason)]
        _logger.warning("a message was refused: %s", reason, extra=said("message_refused"))

    # ------------------------------------------------------------------------------ out

    def start(self, now: int) -> list[Outgoing]:
        """Return what to send first: where this follower is, and that it wants what follows."""
        return self._ask(now)

    def step(self, now: int) -> list[Outgoing]:
        """Return what is to be sent now; to be called now and then."""
        if self.stopped is not None:
            return []
        out = self._mark_if_due(now, MARK_NS if self._host.end.last_seq != self._marked_seq else IDLE_MARK_NS)
        since = self._behind_since
        behind = since is not None and not 0 <= now - since < PATIENCE_NS
        if behind or self._parting.asked is not None:
            out += self._ask_if_due(now)
        return out

    def _mark_if_due(self, now: int, every: int) -> list[Outgoing]:
        if self._marked_at is not None and 0 <= now - self._marked_at < every:
            return []
        end = self._host.end
        self._marked_at, self._marked_seq = now, end.last_seq
        epoch = self._host.position.epoch
        return [self._outgoing(Mark(self._name, end.last_seq, self.refused, end.final_hash, epoch), now)]

    def _ask_if_due(self, now: int) -> list[Outgoing]:
        """Ask for what is missing: at once for the first time, ever more seldom while nothing comes of it."""
        seq = (self._parting.asked or self._host.end).last_seq
        if self._asked_at is not None and self._asked_seq == seq and 0 <= now - self._asked_at < self._pause:
            return []
        if self._asked_seq == seq:
            self._pause = min(2 * self._pause, BACK_OFF_NS)
        return self._ask(now)

    def _ask_schema(self, now: int) -> list[Outgoing]:
        if self._schema_asked_at is not None and 0 <= now - self._schema_asked_at < PATIENCE_NS:
            return []
        self._schema_asked_at = now
        return [self._outgoing(Request(self._name, Want.OFFER, 0, NO_HASH, 0, b""), now)]

    def _ask(self, now: int) -> list[Outgoing]:
        place, want = self._host.end, Want.LOG
        if self._parting.asked is not None:
            place, want = self._parting.asked, Want.PLACE
        self._asked_at, self._asked_seq = now, place.last_seq
        request = Request(self._name, want, place.last_seq, place.final_hash, place.epoch, b"")
        return [self._outgoing(request, now)]

    def _outgoing(self, message: Message, now: int) -> Outgoing:
        mine = self._identity
        envelope = Envelope(mine.store_id, mine.region, mine.shard, self._host.epoch, now)
        return Outgoing(self._channels.marks, encode_message(envelope, message))
