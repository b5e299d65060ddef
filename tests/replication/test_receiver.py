"""What a follower does with messages that are lost, late, doubled, foreign or of an older leader."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from replicakit import NS, Link, events, leader_at, log_bytes, open_as_follower, same_state

from tidal.replication.messages import Batch, Heartbeat, Request, decode_message, encode_message


@pytest.mark.parametrize("seed", range(6))
def test_messages_may_be_lost_doubled_and_late(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)

    def network() -> Callable[[bytes], list[bytes]]:
        late: list[bytes] = []

        def carry(payload: bytes) -> list[bytes]:
            late.extend([payload] * rng.choice([0, 1, 1, 2]))
            rng.shuffle(late)
            return [late.pop() for _ in range(min(len(late), rng.randrange(4)))]

        return carry

    with (
        leader_at(tmp_path / "leader", segment_bytes=1 << 13) as db,
        open_as_follower(tmp_path / "a", db, "a") as one,
        open_as_follower(tmp_path / "b", db, "b") as two,
    ):
        link = Link(db, [one, two], max_payload=4096).start()
        link.carry, link.carry_back = network(), network()
        for number in range(30):
            events(db, rng.randrange(1, 400), seed=number, start=number * 500)
            link.turn()
        link.turns(400, 0.5)
        assert (one.last_seq, two.last_seq) == (db.last_seq, db.last_seq)
        for name, follower in (("a", one), ("b", two)):
            assert same_state(follower, db)
            assert log_bytes(tmp_path / name) == log_bytes(tmp_path / "leader")
            assert follower.receiver.refused == 0


def test_a_large_batch_travels_in_parts(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower], max_payload=4096).start()
        events(db, 20_000)
        link.turns()
        parts = [it for _, it in map(decode_message, link.sent) if isinstance(it, Batch)]
        assert len(parts) > 20
        assert max(map(len, link.sent)) <= 4096
        assert same_state(follower, db)


def test_a_gap_is_asked_for_and_what_came_after_it_kept(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        link.turn()
        for number in range(4):
            events(db, 10, seed=number, start=number * 10)
            lose = number == 1
            link.carry = lambda payload, lose=lose: [] if lose else [payload]
            link.turn()
        assert follower.last_seq == 40  # what follows the gap is taken in once it is filled
        before = follower.receiver.duplicates
        link.turns(20)
        assert same_state(follower, db)
        assert follower.receiver.duplicates <= before + 4


def test_a_lost_end_is_noticed_by_the_heartbeat(tmp_path: Path) -> None:
    """The last batch is lost, and nothing comes after it that would show the gap."""
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        link.turns(2)
        events(db, 10)
        link.carry = lambda payload: [] if isinstance(decode_message(payload)[1], Batch) else [payload]
        link.turn(1.0)
        assert follower.receiver.lag(link.now).events == 10
        link.carry = lambda payload: [payload]
        link.turns(20)
        assert same_state(follower, db)


def test_requests_become_rare_while_nothing_comes_of_them(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        link.turn()
        events(db, 10)
        asked: list[float] = []

        def carry(payload: bytes) -> list[bytes]:
            message = decode_message(payload)[1]
            if isinstance(message, Request):
                asked.append(link.now / NS)
            return [payload] if isinstance(message, Heartbeat) else []

        link.carry = link.carry_back = carry
        for _ in range(400):
            link.turn(0.1)
        pauses = [after - before for before, after in itertools.pairwise(asked)]
        assert len(asked) < 12
        assert pauses == sorted(pauses)
        assert pauses[-1] > 7.0


def test_a_message_of_another_store_changes_nothing(tmp_path: Path) -> None:
    with (
        leader_at(tmp_path / "leader") as db,
        leader_at(tmp_path / "other") as other,
        open_as_follower(tmp_path / "f", db) as follower,
    ):
        events(other, 100)
        stranger = Link(other, [follower])
        for _ in range(5):
            stranger.turn()
        assert follower.last_seq == 0
        assert "a message of store" in follower.receiver.refusals[-1].reason
        link = Link(db, [follower]).start()
        events(db, 50)
        link.turns()
        assert same_state(follower, db)


def test_a_message_of_an_older_epoch_changes_nothing(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 50)
        link.turns()
        follower._host.raise_epoch(db._disk.identity.epoch + 1)  # type: ignore[union-attr]
        events(db, 50, start=50)
        for _ in range(5):
            link.turn()
        assert follower.last_seq == 50
        assert "a leader of epoch 1; there is one of 2" in follower.receiver.refusals[-1].reason
        assert link.shipper.deposed is not None  # it met the later epoch in the follower's mark
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        assert follower._host.epoch == 2  # known durably


def test_a_good_batch_that_does_not_continue_the_log_is_refused(tmp_path: Path) -> None:
    """Frames of the store itself, whose log went another way meanwhile: a restored backup, say."""
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 50, seed=1)
        link.turns()
        batches = [it for it in link.sent if isinstance(decode_message(it)[1], Batch)]
    with open_as_follower(tmp_path / "f", db) as follower:
        assert follower.last_seq == 50
        envelope, message = decode_message(batches[0])
        assert isinstance(message, Batch)
        forged = message._replace(last_seq=60)  # its frames are those that are here
        follower.receiver.on_message(encode_message(envelope, forged), 10**18)
        assert follower.last_seq == 50
        assert follower.stats()["signals"]["view"]["events"] < 51


@pytest.mark.parametrize("junk", [b"", b"x", bytes(200), b"TdlR" + bytes(300)], ids=len)
def test_junk_is_counted_and_changes_nothing(tmp_path: Path, junk: bytes) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower])
        assert follower.receiver.on_message(junk, 1) == []
        assert link.shipper.on_message(junk, 1) == []
        assert (follower.receiver.refused, link.shipper.refused) == (1, 1)


def test_lag_is_in_events_and_seconds(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        lag = follower.receiver.lag(0)
        assert (lag.events, lag.seconds) == (0, None)
        link = Link(db, [follower]).start()
        events(db, 10)
        link.turns()
        assert follower.receiver.lag(link.now).events == 0
        events(db, 10, start=10)
        link.carry = lambda payload: [] if isinstance(decode_message(payload)[1], Batch) else [payload]
        link.turn(30.0)
        lag = follower.receiver.lag(link.now)
        assert lag.events == 10
        assert lag.seconds is not None
        assert 29.0 < lag.seconds < 40.0
