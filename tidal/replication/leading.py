"""A database that ships its log: what db.ship() starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

import blake3

from tidal.archive.marks import MARK_PREFIX, Marks, follower_mark
from tidal.durable import FileSystem, read_file
from tidal.errors import InvalidOption, ReplicationError, StaleEpoch, TidalError
from tidal.format.following import CLAIM_MAX, Following
from tidal.format.segment import LogIdentity
from tidal.links import FollowerSeen, LeadingSeen
from tidal.records import record
from tidal.replication.claims import LaterClaim, claim_epoch
from tidal.replication.feed import LogFeed, Origin
from tidal.replication.giving import Giver
from tidal.replication.running import Running, waited
from tidal.replication.shipper import FollowerStatus, Shipment, WalShipper
from tidal.replication.transport import Transport
from tidal.schema import Duration, parse_duration
from tidal.schema.durations import NS_PER_SECOND
from tidal.storage import StorageEngine
from tidal.store import StorePaths, load_following, save_following

HOLD_BYTES_DEFAULT: Final = 8 << 30


class LedLog(Protocol):
    """What shipping asks of the log of a database."""

    @property
    def last_seq(self) -> int: ...

    @property
    def durable_seq(self) -> int: ...

    def flush(self) -> int: ...


@record
class Led:
    """A store that is to be shipped. ``claim``: what its epoch is claimed with, which no other node has."""

    fs: FileSystem
    paths: StorePaths
    identity: LogIdentity
    log: LedLog
    engine: StorageEngine
    marks: Marks
    origin: Origin
    claim: bytes
    now: Callable[[], int]

    def give_up(self, epoch: int) -> None:
        """Make the folder a follower's, durably: another node leads, in this epoch or a later one.

        Else each opening would take an epoch more, until one that nobody has claimed; and then this store,
        which lacks what the other recorded, would lead.
        """
        if not self.fs.exists(self.paths.following):
            claim = self.claim.decode("ascii", "ignore")[-CLAIM_MAX:]
            save_following(self.fs, self.paths, Following(self.identity.store_id, epoch, claim))


def claim_of(fs: FileSystem, paths: StorePaths, identity: LogIdentity, name: str) -> bytes:
    """Return what a node claims its epoch with: what it did so with when it was promoted, or a new claim."""
    if fs.exists(paths.promoted):
        known = load_following(fs, paths.promoted, identity.store_id)
        if known.leader_epoch == identity.epoch:
            return known.claim.encode()
    return f"{name}/{os.urandom(16).hex()}".encode()


def make_shipper(
    led: Led, max_payload: int, followers: Iterable[str] = (), hold_bytes: int | None = HOLD_BYTES_DEFAULT
) -> WalShipper:
    """Return the shipper of a store, which keeps its log for these followers and for earlier ones."""
    marks = led.marks

    def hold(name: str, seq: int | None) -> None:
        if seq is None:
            marks.remove(MARK_PREFIX + name)
        else:
            marks.set(MARK_PREFIX + name, seq)

    names = set(followers)
    for name in names:
        follower_mark(name)
    names |= {it.removeprefix(MARK_PREFIX) for it in marks.all() if it.startswith(MARK_PREFIX)}
    feed = LogFeed(led.fs, led.paths.wal, led.identity)
    shipment = Shipment(
        led.identity,
        led.origin,
        blake3.blake3(read_file(led.fs, led.paths.schema)).digest(),
        max_payload,
        answer=Giver(led.fs, led.paths, led.identity, feed, led.engine, led.origin).answer,
        hold=hold,
        hold_bytes=hold_bytes,
    )
    return WalShipper(feed, led.log, shipment, names)


class Shipping:
    """The log of a database on its way to followers, until close(). Made by db.ship()."""

    def __init__(
        self,
        led: Led,
        transport: Transport,
        followers: Iterable[str] = (),
        hold_bytes: int | None = HOLD_BYTES_DEFAULT,
        on_deposed: Callable[[StaleEpoch], None] = lambda error: None,
    ) -> None:
        if hold_bytes is not None and (type(hold_bytes) is not int or hold_bytes < 1):
            raise InvalidOption(f"hold_bytes={hold_bytes!r}: choose a positive integer, or None")
        self._led, self._on_deposed = led, on_deposed
        self._closed = False
        self._shipper = make_shipper(led, transport.max_payload, followers, hold_bytes)
        epoch, winner = claim_epoch(transport, led.identity, led.identity.epoch, led.claim)
        if winner != led.claim:
            led.give_up(epoch)
            who = winner.decode(errors="replace").partition("/")[0]
            raise StaleEpoch(
                f"{who} has claimed epoch {epoch}: it leads; close this database, and open its folder with "
                "tidal.open_follower()"
            )
        self._later = LaterClaim(transport, led.identity)
        self._running = Running(
            transport,
            self._shipper.channels.marks,
            self._shipper,
            led.now,
            name="tidal-ship",
            before=self._before,
        )

    def followers(self) -> tuple[FollowerStatus, ...]:
        """Return what is known of each follower, by name. It waits for nothing that is being sent: who asks
        how it goes must get an answer, also where a disk hangs.
        """
        return self._shipper.followers(self._led.now())

    def seen(self) -> LeadingSeen | None:
        """Return how it goes, for health and metrics; None once it was closed."""
        if self._closed:
            return None
        ended = self._running.error or ("its transport was closed" if self.closed else None)
        now = self._led.now()
        return LeadingSeen(
            self._led.identity.epoch,
            leads=self.deposed is None,
            trouble=None if ended is None else str(ended),
            sent_bytes=self._shipper.sent_bytes,
            followers=tuple(_seen(it, now) for it in self.followers()),
        )

    def wait_for(self, seq: int, *, followers: int = 1, timeout: Duration = "30s") -> int:
        """Return ``seq`` once so many followers have the events up to it, durably: what they hold survives
        the loss of this machine.

        ReplicationError if they have not within ``timeout``, or nothing is shipped any more.
        """
        seconds = parse_duration(timeout) / NS_PER_SECOND
        waited(
            lambda: sum(it.seq >= seq for it in self.followers()) >= followers,
            seconds,
            f"{followers} followers do not have event {seq}",
            self._check,
        )
        return seq

    def _check(self) -> None:
        if self.error is not None or self.closed:
            raise ReplicationError(f"nothing is shipped any more: {self.error or 'it was closed'}")

    @property
    def deposed(self) -> StaleEpoch | None:
        """The error of a leader that another one has followed; None while it leads."""
        return self._shipper.deposed

    @property
    def error(self) -> TidalError | None:
        """Why nothing is shipped any more; None while it is."""
        return self._running.error or self._shipper.deposed

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return not self._running.alive

    def forget(self, name: str) -> None:
        """Keep the log for a follower no longer: one that is gone for good."""
        with self._running.lock:
            self._shipper.forget(name)

    def close(self) -> None:
        """Send what is durable, and stop."""
        self._closed = True
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _before(self) -> None:
        """Make durable what is to be sent where the sync policy would take its time, and look who leads."""
        if self._shipper.deposed is None and (epoch := self._later.look(self._led.now())) is not None:
            self._shipper.depose(epoch)
        if (deposed := self._shipper.deposed) is not None:
            self._on_deposed(deposed)
            self._led.give_up(self._led.identity.epoch + 1)
        elif self._shipper.wanted and self._led.log.durable_seq < self._led.log.last_seq:
            self._led.log.flush()


def _seen(it: FollowerStatus, now: int) -> FollowerSeen:
    heard = None if it.last_seen is None else max(0.0, (now - it.last_seen) / NS_PER_SECOND)
    return FollowerSeen(it.name, it.seq, it.lag, it.held_bytes, it.state, heard, it.refused)
