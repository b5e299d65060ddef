"""The transport through an object store, on a folder and in memory."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore
from replicakit import SCHEMA, events, same_state
from waiting import until

import tidal
from tidal.errors import InvalidOption
from tidal.testing.transport import TransportTests
from tidal.transports.objects import ObjectTransport

NS = 1_000_000_000


class TestFolder(TransportTests):
    def make(self, tmp_path: Path) -> ObjectTransport:
        (tmp_path / "shared").mkdir(exist_ok=True)
        return ObjectTransport(LocalStore(tmp_path / "shared"), poll_seconds=0.005)


class TestMemoryStore(TransportTests):
    alone = True

    def make(self, tmp_path: Path) -> ObjectTransport:
        return ObjectTransport(MemoryStore(), poll_seconds=0.005)


def test_old_messages_are_removed(tmp_path: Path) -> None:
    now = 10**18
    one = ObjectTransport(LocalStore(tmp_path), keep_seconds=10.0, clock=lambda: now)
    two = ObjectTransport(LocalStore(tmp_path), keep_seconds=10.0, clock=lambda: now)

    def files() -> int:
        return sum(path.is_file() for path in tmp_path.rglob("*"))

    for _ in range(3):
        one.send("a", b"x")
    now += 11 * NS
    one.send("a", b"y")
    assert files() == 1
    now += 30 * NS
    two.send("a", b"z")  # another sender, which finds what the first one left
    assert files() == 1


def test_a_sender_whose_clock_is_behind_is_heard(tmp_path: Path) -> None:
    ahead = ObjectTransport(LocalStore(tmp_path), poll_seconds=0.005, clock=lambda: 10**18 + 10 * NS)
    behind = ObjectTransport(LocalStore(tmp_path), poll_seconds=0.005, clock=lambda: 10**18)
    subscription = ahead.subscribe("a")
    ahead.send("a", b"first")
    assert subscription.receive(20.0) == b"first"
    behind.send("a", b"second")
    assert subscription.receive(20.0) == b"second"
    assert subscription.receive(0.0) is None


def test_a_claim_has_its_name_when_its_bytes_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    linked: list[bytes] = []
    fsync, link = os.fsync, os.link

    def note(fd: int) -> None:
        fsync(fd)
        synced.append(os.fstat(fd).st_ino)

    def check(source: Path, target: Path) -> None:
        assert synced == [source.stat().st_ino]
        linked.append(source.read_bytes())
        link(source, target)

    transport = ObjectTransport(LocalStore(tmp_path))
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "link", check)
    assert transport.claim("epoch/1", b"one") == b"one"
    assert linked == [b"one"]
    (claim,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert synced[1:] == [folder.stat().st_ino for folder in claim.parents[:4]]
    assert claim.parents[3] == tmp_path
    monkeypatch.setattr(os, "link", link)
    assert transport.claim("epoch/1", b"two") == b"one"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [claim]


def test_what_cannot_be_tidied_up_was_sent_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = ObjectTransport(LocalStore(tmp_path), poll_seconds=0.005)
    subscription = transport.subscribe("a")

    def refuse(*_: object) -> list[str]:
        raise tidal.TransportError("the object store refused")

    with monkeypatch.context() as patch:
        patch.setattr(transport, "names_after", refuse)
        transport.send("a", b"x")
    assert subscription.receive(20.0) == b"x"


@pytest.mark.parametrize("option", [{"keep_seconds": 0.0}, {"poll_seconds": -1.0}, {"prefix": "../x"}])
def test_options_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        ObjectTransport(MemoryStore(), **option)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(tidal.MissingExtra, match=r"tidaldb\[object\]"):
        ObjectTransport(MemoryStore())


def test_a_store_that_fails_is_a_transport_error(tmp_path: Path) -> None:
    transport = ObjectTransport(LocalStore(tmp_path))
    (tmp_path / "tidal").write_text("a file where a folder must be")
    with pytest.raises(tidal.TransportError, match="the object store refused"):
        transport.send("a", b"")


def test_a_follower_over_a_shared_folder(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    transports = [ObjectTransport(LocalStore(tmp_path / "shared"), poll_seconds=0.01) for _ in range(2)]
    with tidal.open(tmp_path / "leader", schema=SCHEMA, clock="event", max_future_skew=None) as db:
        db.ship(transports[0], name="a")
        with tidal.open_follower(tmp_path / "f", transports[1], name="f", clock="event") as follower:
            last = events(db, 500)
            until(lambda: follower.last_seq == last)
            assert same_state(follower, db)
            promoted = follower.promote(clock="event")
    with tidal.open(tmp_path / "leader", clock="event") as db, pytest.raises(tidal.StaleEpoch):
        db.ship(transports[0], name="a")
    promoted.close()
