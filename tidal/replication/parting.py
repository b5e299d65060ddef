"""Where a follower's log and its leader's part: found by asking, so that no more is given up than must be."""

from __future__ import annotations

from typing import Protocol

from tidal.errors import ForeignHistory
from tidal.format.segment import NO_HASH
from tidal.replication.feed import Origin
from tidal.replication.frames import NO_EPOCH
from tidal.replication.messages import Answer
from tidal.wal.segments import Link


class OwnLog(Protocol):
    """A follower's log, as it is looked through."""

    def hash_at(self, seq: int) -> bytes | None:
        """Return the hash of the batch that ends at a sequence; None if none does here."""

    def epoch_of(self, seq: int) -> Origin | None:
        """Return where the epoch begins, as far as the log reaches back, in which an event was recorded; None
        if the event is not here.
        """


class Parting:
    """The search for the last place that two logs have in common. Make a new one for another leader, and once
    the log was cut.

    ``asked`` is the place of which it must be known whether the leader has it; None while nothing is amiss.

    Each epoch had one leader, whose log went one way. So where the leader's log goes beyond the epoch of an
    event that it has not, both were the same, if this log has that place; else no event of that epoch is the
    leader's, and the place where the epoch begins here is the next to look at.
    """

    def __init__(self, log: OwnLog) -> None:
        self.asked: Link | None = None
        self._log = log
        self._foreign: int | None = None  # the first event of which it is known that the leader has it not

    def on_foreign(self, seq: int, origin: Origin) -> tuple[int, bytes] | None:
        """An event here is not the leader's, whose log goes beyond its epoch at the origin. Return sequence
        and hash of the last place in common, None where ``asked`` must be known for that.

        ForeignHistory if there is none as far as this log reaches back.
        """
        self._foreign = seq = seq if self._foreign is None else min(seq, self._foreign)
        if origin.seq < seq and self._log.hash_at(origin.seq) == origin.hash:
            return origin.seq, origin.hash
        begin = self._log.epoch_of(seq)
        if begin is None:
            raise ForeignHistory(
                f"this log and the leader's have nothing in common from event {seq} on, and this one does "
                "not reach back further: move the folder away, and begin anew by tidal.open_follower()"
            )
        if begin.seq == 0:
            return 0, NO_HASH
        before = self._log.epoch_of(begin.seq)
        self.asked = Link(begin.seq, begin.hash, NO_EPOCH if before is None else before.epoch, "a place")
        return None

    def on_answer(self, answer: Answer) -> tuple[int, bytes] | None:
        """Take what the leader says of a place, and return as on_foreign()."""
        if self._log.hash_at(answer.seq) != answer.hash:
            return None  # another follower asked, or this log was cut since
        if not answer.shared:
            origin = Origin(answer.origin_epoch, answer.origin_seq, answer.origin_hash)
            return self.on_foreign(answer.seq, origin)
        known = self._foreign is not None and answer.seq < self._foreign
        return (answer.seq, answer.hash) if known else None
