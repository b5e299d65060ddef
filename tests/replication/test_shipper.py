"""What a leader knows of those who follow it, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest
from replicakit import NS, Link, events, leader_at, open_as_follower

from tidal.replication import shipper
from tidal.replication.messages import Envelope, Mark, encode_message

DAY = 24 * 3600


def say(link: Link, name: str) -> None:
    """A follower that has nothing yet tells the leader so."""
    disk = link.leader._disk
    assert disk is not None
    envelope = Envelope(disk.identity.store_id, 0, 0, 0, link.now)
    link.shipper.on_message(encode_message(envelope, Mark(name, 0, 0, bytes(32), 0)), link.now)


def names(link: Link) -> list[str]:
    return [it.name for it in link.shipper.followers(link.now)]


def test_who_is_silent_for_a_day_is_forgotten_unless_the_log_is_kept_for_it(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower], names=["kept", "nobody"]).start()
        events(db, 10)
        link.turns()
        say(link, "kept")
        say(link, "seldom")
        for _ in range(3):
            link.turn(DAY / 4)
        assert names(link) == ["f", "kept", "nobody", "seldom"]
        say(link, "seldom")
        for _ in range(2):
            link.turn(DAY / 4)
        assert names(link) == ["f", "kept", "nobody", "seldom"]
        for _ in range(3):
            link.turn(DAY / 4)
        assert names(link) == ["f", "kept", "nobody"]
        say(link, "seldom")
        assert names(link)[-1] == "seldom"
        assert follower.last_seq == 10


def test_names_that_anybody_may_invent_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "FOLLOWERS_MAX", 3)
    with leader_at(tmp_path / "leader") as db:
        link = Link(db, names=["kept"])
        for name in "abc":
            say(link, name)
        assert (names(link), link.shipper.refused) == (["a", "b", "kept"], 1)
        link.now += 20 * NS
        say(link, "b")
        link.now += 20 * NS
        say(link, "c")
        assert (names(link), link.shipper.refused) == (["b", "c", "kept"], 1)
        say(link, "b")  # one that is known is heard
        assert link.shipper.refused == 1
