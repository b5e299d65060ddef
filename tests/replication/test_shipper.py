"""What a leader knows of those who follow it, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest
from replicakit import NS, Link, archived_once_listed, events, leader_at, open_as_follower

from tidal.replication import shipper
from tidal.replication.messages import (
    Answer,
    Envelope,
    Mark,
    Message,
    Request,
    Want,
    decode_message,
    encode_message,
)

DAY = 24 * 3600


def say(link: Link, name: str) -> None:
    """A follower that has nothing yet tells the leader so."""
    tell(link, Mark(name, 0, 0, bytes(32), 0))


def tell(link: Link, message: Message) -> list[Message]:
    """Tell the leader something, and return what it answers."""
    disk = link.leader._disk
    assert disk is not None
    envelope = Envelope(disk.identity.store_id, 0, 0, 0, link.now)
    answers = link.shipper.on_message(encode_message(envelope, message), link.now)
    return [decode_message(it.payload)[1] for it in answers]


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


def test_a_place_is_answered_for_while_the_log_before_it_is_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12, archive=False) as db:
        link = Link(db)
        for number in range(4):
            events(db, 300, seed=number, start=300 * number)
            db.checkpoint()
        removed = archived_once_listed(monkeypatch, db)
        (answer,) = tell(link, Request("f", Want.PLACE, 5_000, bytes(32), 0, b""))
        assert removed
        assert isinstance(answer, Answer)
        assert (answer.shared, answer.origin_epoch, answer.origin_seq > 0) == (False, 1, True)
