"""A leader that another one has followed: it does not lead again, however often its program is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from replicakit import SCHEMA, events
from waiting import until

import tidal
from tidal.errors import ReadOnly, StaleEpoch
from tidal.format.following import decode_following
from tidal.transports import InProcessTransport

Promoted = tuple[InProcessTransport, tidal.TidalDb]


@pytest.fixture
def transport() -> InProcessTransport:
    return InProcessTransport()


def with_follower(folder: Path, transport: InProcessTransport) -> tuple[tidal.TidalDb, tidal.FollowerDb]:
    """A leader of node ``a``, and node ``b``, which has its events."""
    leader = tidal.open(folder / "a", schema=SCHEMA, clock="event", max_future_skew=None)
    leader.ship(transport, name="a")
    follower = tidal.open_follower(folder / "b", transport, name="b")
    follower.wait_for(events(leader, 10))
    return leader, follower


def refused(db: tidal.TidalDb) -> Callable[[], bool]:
    def attempt() -> bool:
        try:
            db.signal("view", 1)
        except StaleEpoch:
            return True
        return False

    return attempt


def test_an_old_leader_that_is_started_again_and_again_does_not_lead(
    tmp_path: Path, transport: InProcessTransport
) -> None:
    leader, follower = with_follower(tmp_path, transport)
    leader.close()
    with follower.promote() as new:
        new.ship(transport, name="b")
        with tidal.open(tmp_path / "a") as old, pytest.raises(StaleEpoch, match="b has claimed epoch 2"):
            old.ship(transport, name="a")
        for _ in range(3):
            with pytest.raises(ReadOnly, match="follows another store"):
                tidal.open(tmp_path / "a")
        last = new.signal("view", 1)
        with tidal.open_follower(tmp_path / "a", transport, name="a") as back:
            assert back.wait_for(last) == 11
            assert back.state_digest() == new.state_digest()
        assert new._shipping and new._shipping.deposed is None


def test_one_that_learns_it_while_it_leads_follows_after_its_end(
    tmp_path: Path, transport: InProcessTransport
) -> None:
    leader, follower = with_follower(tmp_path, transport)
    with follower.promote() as new:
        new.ship(transport, name="b")
        until(refused(leader))
        until((tmp_path / "a" / "following.json").exists)
        leader.close()
        with pytest.raises(ReadOnly, match="follows another store"):
            tidal.open(tmp_path / "a")
        with tidal.open_follower(tmp_path / "a", transport, name="a") as back:
            last = new.signal("view", 2)
            until(lambda: back.last_seq == last)  # what it had beyond that is cut off
            assert back.state_digest() == new.state_digest()


@pytest.mark.parametrize("name", ["a", "ä" * 300, "n" * 300])
def test_what_it_would_claim_is_kept_whatever_it_was_called(
    tmp_path: Path, transport: InProcessTransport, name: str
) -> None:
    leader, follower = with_follower(tmp_path, transport)
    leader.close()
    with follower.promote(), tidal.open(tmp_path / "a") as old:
        with pytest.raises(StaleEpoch):
            old.ship(transport, name=name)
        found = decode_following((tmp_path / "a" / "following.json").read_bytes())
    assert found.leader_epoch == 2 and found.store_id == old._disk.identity.store_id  # type: ignore[union-attr]
