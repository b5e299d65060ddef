"""One leader, any followers, and the messages between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import tidal
from tidal.durable import OsFileSystem
from tidal.following.follower import FollowerDb
from tidal.following.opening import open_followed
from tidal.format.manifest import Manifest
from tidal.format.segment import SEAL, SEAL_MAGIC
from tidal.opening.arguments import checked_settings
from tidal.opening.options import StoreOptions, Wiring
from tidal.opening.stored import open_store
from tidal.replication import WalShipper
from tidal.replication.feed import LogFeed
from tidal.replication.leading import make_shipper
from tidal.schema import Schema, SchemaBuilder
from tidal.store import StorePaths, load_store, name_store, prepare_store
from tidal.wal import SyncPolicy, write_manifest

NS: Final = 1_000_000_000
SCHEMA: Final = (
    SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
    .signal("like", half_life="1d", signed=True)
    .build()
)


def leader_at(
    folder: Path, *, schema: Schema = SCHEMA, segment_bytes: int = 1 << 24, **settings: Any
) -> tidal.TidalDb:
    """A database whose segments have a size that tests choose."""
    made = checked_settings(**{"clock": "event", "max_future_skew": None, **settings})
    options = StoreOptions(schema, sync=SyncPolicy("os"))
    return open_store(StorePaths(folder), options, made, Wiring(segment_bytes=segment_bytes))


def lead_from(folder: Path, **settings: Any) -> tidal.TidalDb:
    """The database of what was a follower's folder, as promote() leaves it."""
    (folder / "following.json").unlink(missing_ok=True)
    return leader_at(folder, **settings)


def open_as_follower(folder: Path, leader: tidal.TidalDb, name: str = "f", **settings: Any) -> FollowerDb:
    """A follower without a thread; its folder is begun as one that follows from the first event on."""
    fs, paths = OsFileSystem(), StorePaths(folder)
    made = checked_settings(**{"clock": "event", "max_future_skew": None, **settings})
    wiring = Wiring()
    if not fs.exists(paths.identity):
        assert leader.path is not None
        identity = load_store(fs, StorePaths(leader.path))
        prepare_store(fs, paths, identity.schema)
        wiring.engine(fs, paths.entities, create=True).close()
        write_manifest(fs, paths.wal, Manifest(identity.store_id, 0, clean=False))
        name_store(fs, paths, identity.store_id)
    return open_followed(paths, StoreOptions(), made, wiring, name)


def events(db: tidal.TidalDb, count: int, seed: int = 0, start: int = 0) -> int:
    """Record some events, and return the last sequence, which is durable."""
    rng = np.random.default_rng(seed)
    db.ingest(
        signal=rng.choice(["view", "like"], count).tolist(),
        entity_id=rng.integers(0, 50, count),
        weight=rng.normal(1.0, 0.2, count).clip(0.1, 2.0).astype(np.float32),
        timestamp=10**18 + (start + np.arange(count)) * (NS // 100),
    )
    return db.flush()


class Link:
    """A leader's shipper and its followers. ``carry`` is what the network does to a message."""

    def __init__(
        self,
        leader: tidal.TidalDb,
        followers: Iterable[FollowerDb] = (),
        *,
        max_payload: int = 1 << 20,
        names: Iterable[str] = (),
        hold_bytes: int | None = None,
    ) -> None:
        self.now = 10**18
        self.followers = list(followers)
        self.leader = leader
        self.shipper: WalShipper = make_shipper(leader._led("leader"), max_payload, names, hold_bytes)
        self.carry: Callable[[bytes], list[bytes]] = lambda payload: [payload]  # from the leader
        self.carry_back: Callable[[bytes], list[bytes]] = lambda payload: [payload]
        self.sent: list[bytes] = []  # from the leader

    def start(self) -> Link:
        for follower in self.followers:
            self._up(follower.receiver.start(self.now))
        return self

    def turn(self, seconds: float = 0.1) -> None:
        """One step of everybody, and the delivery of what they say."""
        self.now += int(seconds * NS)
        self._down([out.payload for out in self.shipper.step(self.now)])
        for follower in self.followers:
            self._up(follower.receiver.step(self.now))

    def turns(self, count: int = 60, seconds: float = 0.1) -> Link:
        """Turns until all followers have everything, and one more; no more than ``count``."""
        for _ in range(count):
            self.turn(seconds)
            if all(it.last_seq == self.leader.durable_seq for it in self.followers):
                break
        self.turn(2.0)
        return self

    def _down(self, payloads: list[bytes]) -> None:
        self.sent += payloads
        for payload in (each for it in payloads for each in self.carry(it)):
            for follower in self.followers:
                self._up(follower.receiver.on_message(payload, self.now))

    def _up(self, out: Iterable[Any]) -> None:
        for payload in (each for it in out for each in self.carry_back(it.payload)):
            self._down([answer.payload for answer in self.shipper.on_message(payload, self.now)])


def archived_once_listed(monkeypatch: pytest.MonkeyPatch, db: tidal.TidalDb) -> list[Path]:
    """Let a database's archiver come between each list of a log's segments and the reading of the first;
    return what it has removed, which grows.
    """
    removed: list[Path] = []
    listed = LogFeed.segments

    def segments(feed: LogFeed) -> list[tuple[int, Path]]:
        found = listed(feed)
        removed.extend(db.archive().removed)
        return found

    monkeypatch.setattr(LogFeed, "segments", segments)
    return removed


def log_bytes(folder: Path) -> dict[str, bytes]:
    """The segments of a log by name, without their seals: a follower's last one has none yet."""
    found = {path.name: path.read_bytes() for path in sorted((folder / "wal").glob("wal-*.seg"))}
    return {
        name: data[: -SEAL.size] if data[-SEAL.size :].startswith(SEAL_MAGIC) else data
        for name, data in found.items()
    }


def same_state(one: tidal.TidalDb, other: tidal.TidalDb) -> bool:
    """Whether two databases have the same state, bit for bit."""
    return one._ledger.state_digest() == other._ledger.state_digest()


@contextlib.contextmanager
def follower_ahead(folder: Path) -> Iterator[FollowerDb]:
    """A follower in ``c`` with 200 events of the leader in ``a``; the closed one in ``b`` has 100 of them."""
    with leader_at(folder / "a") as old, open_as_follower(folder / "c", old, "c") as follower:
        with open_as_follower(folder / "b", old, "b") as behind:
            link = Link(old, [behind, follower]).start()
            events(old, 100)
            link.turns()
            link.followers = [follower]
            events(old, 100, start=100)
            link.turns()
        yield follower
