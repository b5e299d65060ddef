"""The acceptance criteria of the seed's segment receiver, each as a test of its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replicakit import SCHEMA, Link, events, leader_at, log_bytes, open_as_follower, same_state
from waiting import until

import tidal
from tidal.replication import Running
from tidal.replication.messages import Batch, decode_message, encode_message
from tidal.transports import InProcessTransport


def test_start_runs_a_background_task_that_reads_from_the_transport(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "leader", schema=SCHEMA, clock="event", max_future_skew=None) as db:
        db.ship(transport)
        with tidal.open_follower(tmp_path / "f", transport, name="f", clock="event") as follower:
            last = events(db, 500)
            until(lambda: follower.last_seq == last)
            assert follower.trouble is None
            assert same_state(follower, db)


def test_a_corrupted_segment_is_refused_and_not_applied(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 300)
        link.carry = lambda payload: [payload[:-40] + bytes([payload[-40] ^ 1]) + payload[-39:]]
        link.turns(3)
        assert follower.last_seq == 0
        assert follower.score("view", 1) == 0.0
        assert follower.receiver.refused == len(link.sent) > 0
        assert "hash does not match" in follower.receiver.refusals[0].reason
        link.carry = lambda payload: [payload]
        link.start().turns()
        assert same_state(follower, db)


def test_a_payload_is_checked_whole_before_any_of_it_is_applied(tmp_path: Path) -> None:
    """The last batch of a message is damaged, and the message's own hash made good again."""
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        for number in range(20):
            events(db, 5, seed=number, start=number)

        def damage(payload: bytes) -> list[bytes]:
            envelope, message = decode_message(payload)
            if isinstance(message, Batch):
                message = message._replace(data=message.data[:-1] + bytes([message.data[-1] ^ 1]))
            return [encode_message(envelope, message)]

        link.carry = damage
        link.turns(3)
        assert (follower.last_seq, follower.stats()["signals"]["view"]["events"]) == (0, 0)
        assert "hash does not match" in follower.receiver.refusals[0].reason


def test_what_was_applied_already_is_skipped(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        link.carry = lambda payload: [payload, payload, payload]
        events(db, 300)
        link.turns()
        for payload in link.sent:
            follower.receiver.on_message(payload, link.now)
        assert follower.receiver.duplicates > 1
        assert follower.receiver.refused == 0
        assert same_state(follower, db)
        assert follower.count("view", 1, "all") == db.count("view", 1, "all")


def test_all_events_of_a_segment_are_replayed(tmp_path: Path) -> None:
    """Weights, users, sessions, event ids and names too: what a replay of the log gives, a follower has."""
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        db.signal("view", "sku:1", 2.5, timestamp=10**18, user_id="ann", session_id=7, event_id=9)
        with db.session(user_id="bob", agent="ranker", timestamp=10**18) as session:
            session.reward("sku:2", -1.0, signal="like", timestamp=10**18 + 5)
        events(db, 100)
        link.turns()
        assert same_state(follower, db)
        assert follower.items.get("sku:1") == db.items.get("sku:1")
        assert follower.score("like", "sku:2") == db.score("like", "sku:2")
        assert follower.sessions.get(session.id) == db.sessions.get(session.id)
        rows = [list(it.export_signals(tidal.ExportRequest(all=True))) for it in (db, follower)]
        assert rows[0] == rows[1]


def test_the_mark_moves_with_what_was_applied(tmp_path: Path) -> None:
    """It is the end of the follower's own log: there is no second one that could differ from it."""
    with leader_at(tmp_path / "leader") as db:
        with open_as_follower(tmp_path / "f", db) as follower:
            link = Link(db, [follower], names=["f"]).start()
            last = events(db, 300)
            link.turns()
            (status,) = link.shipper.followers(link.now)
            assert (status.seq, status.lag, status.state) == (last, 0, "live")
            assert db.marks.get("follower.f") == last
        with open_as_follower(tmp_path / "f", db) as follower:
            assert follower.last_seq == last
            assert same_state(follower, db)


@pytest.mark.parametrize("closed_by", ["transport", "follower"])
def test_it_stops_when_the_transport_closes(tmp_path: Path, closed_by: str) -> None:
    transport = InProcessTransport()
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        follower.follow(transport)
        running = follower._running
        assert isinstance(running, Running)
        if closed_by == "transport":
            transport.close()
        else:
            follower.close()
        until(lambda: not running.alive)
        assert running.error is None


def test_one_hundred_segments_are_applied_and_scores_match(tmp_path: Path) -> None:
    ids = np.arange(50)
    with (
        leader_at(tmp_path / "leader", segment_bytes=1 << 10) as db,
        open_as_follower(tmp_path / "f", db) as follower,
    ):
        link = Link(db, [follower]).start()
        for number in range(110):
            events(db, 250, seed=number, start=number * 250)
        assert len(list((tmp_path / "leader" / "wal").glob("*.seg"))) >= 100
        link.turns(200)
        for signal in ("view", "like"):
            assert np.array_equal(follower.scores(signal, ids), db.scores(signal, ids))
        assert np.array_equal(follower.counts("view", ids, "24h"), db.counts("view", ids, "24h"))
        assert same_state(follower, db)
        assert log_bytes(tmp_path / "f") == log_bytes(tmp_path / "leader")
