"""FollowerDb: a database that is its leader's, a moment later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self

from tidal.db import Settings, TidalDb
from tidal.db.recorder import Recorder
from tidal.errors import InvalidOption, ReadOnly, ReplicationError, StaleEpoch, TransportError
from tidal.following.host import StoreHost
from tidal.following.stored import FOLLOWS, Followed, FollowingEngine
from tidal.links import FollowingSeen
from tidal.opening.arguments import open as open_store
from tidal.replication.claims import claim_epoch
from tidal.replication.lag import Lag, Position
from tidal.replication.receiver import SegmentReceiver
from tidal.replication.running import Running, waited
from tidal.replication.transport import Transport
from tidal.schema import Duration, parse_duration
from tidal.schema.durations import NS_PER_SECOND

_UNREACHED: Final = "this follower does not run"


class FollowerDb(TidalDb):
    """A store that follows a leader. Made by tidal.open_follower(); use it in a ``with`` block.

    It answers every read as its leader did a moment ago, and ``lag`` says how long ago that is. What would
    write raises ReadOnly. What it has is durable, and its log is the leader's, byte for byte.

    ``receiver`` counts what came and what of it was refused.
    """

    def __init__(
        self, followed: Followed, settings: Settings, name: str, read: Callable[[bool], Followed]
    ) -> None:
        loaded = followed.loaded
        super().__init__(
            loaded.schema,
            loaded.ledger,
            loaded.sessions,
            followed.log,
            FollowingEngine(followed.engine),
            followed.names,
            settings,
            followed.disk,
        )
        self.name = name
        self._host = StoreHost(self, followed, read)
        self.receiver = SegmentReceiver(self._host, followed.disk.identity, name)
        self._running: Running | None = None
        self._links.attach("following", self._seen)

    # ------------------------------------------------------------------------------ following

    def follow(self, transport: Transport) -> Self:
        """Take in what the leader sends, in a thread, until close(). open_follower() has done this."""
        if self._running is not None:
            raise InvalidOption("this follower runs already")
        self._transport = transport
        self._running = Running(
            transport,
            self.receiver.channels.log,
            self.receiver,
            self._settings.wall_clock,
            name="tidal-follow",
            first=self.receiver.start,
        )
        return self

    @property
    def last_seq(self) -> int:
        """The sequence of the newest event that reads answer from; the log may be a moment ahead of it."""
        return self._host.applied_seq

    @property
    def epoch(self) -> int:
        """The newest epoch in which a leader was heard; 0: none yet."""
        return self._host.epoch

    @property
    def position(self) -> Position:
        """How far this store's log is, durably: the epoch of its last event, and that event's sequence.

        Positions of followers compare: of several, promote the one with the greatest.
        """
        return self._host.position

    @property
    def lag(self) -> Lag:
        """How far this store is behind its leader: events, and seconds by the clocks of both."""
        return self.receiver.lag(self._settings.wall_clock())

    @property
    def staleness(self) -> float | None:
        """The age in seconds of what reads answer from; None where nothing was heard of a leader yet."""
        return self.lag.seconds

    def wait_for(self, seq: int, *, timeout: Duration = "30s") -> int:
        """Return ``last_seq`` once the events up to ``seq`` are here: to read what was just written.

        ReplicationError if they are not within ``timeout``, or this follower does not go on.
        """
        seconds = parse_duration(timeout) / NS_PER_SECOND
        waited(lambda: self.last_seq >= seq, seconds, f"event {seq} has not come", self._check)
        return self.last_seq

    def wait_until_whole(self, seconds: float) -> None:
        """Return once the log has come up to the checkpoint that the store began with; it mostly has."""
        if not self._host.whole:
            waited(
                lambda: self._host.whole, seconds, "the log after the checkpoint has not come", self._check
            )

    def _check(self) -> None:
        self._check_open()
        if (trouble := self.trouble) is not None:
            raise ReplicationError(trouble)

    @property
    def trouble(self) -> str | None:
        """Why the store does not follow any more, or cannot, in words; None where it does."""
        running = self._running
        if running is not None and running.error is not None:
            return str(running.error)
        if running is None or not running.alive:
            return _UNREACHED
        return self.receiver.unhealthy

    def _seen(self) -> FollowingSeen:
        lag, receiver, refusals = self.lag, self.receiver, self.receiver.refusals
        refusal = refusals[-1].reason if refusals else None
        return FollowingSeen(
            self.name, self.trouble, lag.events, lag.seconds, self._host.epoch, receiver.refused, refusal,
            receiver.duplicates,
        )  # fmt: skip

    @property
    def read_only(self) -> bool:
        """True: a follower takes no events but its leader's."""
        return True

    # ------------------------------------------------------------------------------ life

    def promote(self, *, force: bool = False, **options: Any) -> TidalDb:
        """Make this store the leader: close it here, open it for writing with these options of tidal.open(),
        and return it.

        The next epoch is claimed first, so of several followers one is promoted; from then on what an older
        leader sends is refused by all who hear of the new one. Events that the old leader had not sent to
        this follower are not here: promote the one with the greatest ``position``.

        Raises StaleEpoch if another node has claimed the epoch; ``force`` takes a later one, where that node
        is known to be gone.
        """
        self._check_open()
        running = self._running
        if running is None or self._disk is None:
            raise ReplicationError(f"{_UNREACHED}, so it has no transport to claim an epoch by")
        self._stop()
        host = self._host
        claim, wanted = host.remembered.claim, max(host.epoch, host.log_epoch) + 1
        try:
            epoch, winner = claim_epoch(self._transport, self._disk.identity, wanted, claim, force=force)
        except TransportError:  # whether it was claimed is not known: it can be claimed again, by the same
            self.follow(self._transport)
            raise
        if winner != claim:
            who = winner.decode(errors="replace").partition("/")[0]
            self.follow(self._transport)
            raise StaleEpoch(
                f"{who} has claimed epoch {epoch}: it leads, and this store goes on following; if it is "
                "gone for good, promote(force=True) takes a later epoch"
            )
        host.end_following(epoch - 1)  # what opens the store for writing next is of the epoch after
        paths, fs = self._disk.paths, self._disk.fs
        self.close()
        return open_store(paths.base, **{"file_system": fs, **options})

    def close(self) -> None:
        """Stop following, checkpoint and release the store; a second close does nothing."""
        self._stop()
        super().close()

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def start_over(self, read: Callable[[], Followed]) -> None:
        """Put the state that the files have in the place of this one; for the receiver alone."""
        upkeep, before = self._upkeep, self._engine
        with upkeep.ended():
            followed = read()
            loaded = followed.loaded
            self._disk, self.recovery = followed.disk, followed.disk.report
            self._answer_from(loaded.schema, loaded.ledger, FollowingEngine(followed.engine), followed.names)
            self._record_to(loaded.sessions, followed.log, None)
            self._compile()
            before.close()
            upkeep.end_soon()  # else what waits for this to end would archive a log that is no more

    @property
    def recorder(self) -> Recorder:
        """The way into log and state; for the receiver alone."""
        return self._recorder

    def _check_writable(self) -> None:
        self._check_open()
        raise ReadOnly(FOLLOWS)

    def _check_kept(self) -> None:
        self._check_open()
        self._recorder.check()
