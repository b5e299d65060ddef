"""Followers: read, never written; opened again, promoted, and fenced off."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replicakit import (
    SCHEMA,
    Link,
    events,
    follower_ahead,
    lead_from,
    leader_at,
    log_bytes,
    open_as_follower,
    same_state,
)
from waiting import until

import tidal
from tidal.durable import OsFileSystem
from tidal.inspect import verify
from tidal.replication.claims import claim_name
from tidal.replication.messages import Batch, decode_message
from tidal.schema import SchemaBuilder
from tidal.transports import InProcessTransport

WRITES = {
    "signal": lambda db: db.signal("view", 1),
    "ingest": lambda db: db.ingest(signal="view", entity_id=[1]),
    "session": lambda db: db.session(user_id=1, agent="a"),
    "put": lambda db: db.items.put(1, {"a": 1}),
    "delete": lambda db: db.items.delete(1),
    "names": lambda db: db.items.put("a", {}),
    "ship": lambda db: db.ship(InProcessTransport()),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_follower_takes_no_writes(tmp_path: Path, write: Any) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        with pytest.raises(tidal.ReadOnly, match="follows another"):
            write(follower)
        assert follower.read_only


def test_a_follower_checkpoints_archives_and_goes_on(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12) as db:
        for number in range(3):
            with open_as_follower(tmp_path / "f", db) as follower:
                assert follower.last_seq == 1000 * number
                link = Link(db, [follower]).start()
                for part in range(10):
                    events(db, 100, seed=part, start=1000 * number + 100 * part)
                link.turns()
                assert follower.checkpoint() == db.last_seq
                assert same_state(follower, db)
                follower.archive()
    with tidal.open(tmp_path / "f", read_only=True, clock="event") as reader:
        assert reader.last_seq == 3000
        rows = sum(1 for _ in reader.export_signals(tidal.ExportRequest(all=True)))
        assert rows == 3000


def test_a_follower_s_folder_is_read_as_any_store(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 300)
        link.turns()
        digest = db._ledger.state_digest()
        with tidal.open(tmp_path / "f", read_only=True, clock="event") as reader:
            assert reader._ledger.state_digest() == digest
            events(db, 10, start=300)
            link.turns()
            assert reader.refresh() == 10
            digest = db._ledger.state_digest()
            assert reader._ledger.state_digest() == digest
    with pytest.raises(tidal.ReadOnly, match="follows another store"):
        tidal.open(tmp_path / "f")
    (tmp_path / "f" / "following.json").unlink()
    with tidal.open(tmp_path / "f", clock="event") as opened:
        assert opened._ledger.state_digest() == digest


def test_a_segment_that_a_repair_sealed_grows_again(tmp_path: Path) -> None:
    """It was opened by itself, which gives the last segment a seal that the leader's has not."""
    with leader_at(tmp_path / "leader") as db:
        with open_as_follower(tmp_path / "f", db) as follower:
            link = Link(db, [follower]).start()
            events(db, 300)
            link.turns()
        (tmp_path / "f" / "following.json").unlink()
        tidal.open(tmp_path / "f", clock="event").close()
        with open_as_follower(tmp_path / "f", db) as follower:
            assert (follower._host.epoch, follower._host.log_epoch) == (0, 2)
            Link(db, [follower]).start()
            events(db, 300, start=300)
            Link(db, [follower]).start().turns()
            assert same_state(follower, db)
            assert log_bytes(tmp_path / "f") == log_bytes(tmp_path / "leader")
        with open_as_follower(tmp_path / "f", db) as follower:
            assert follower.last_seq == 600


def test_a_follower_that_was_torn_takes_the_end_anew(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db:
        with open_as_follower(tmp_path / "f", db) as follower:
            link = Link(db, [follower]).start()
            for number in range(5):
                events(db, 50, seed=number, start=50 * number)
                link.turn()
            link.turns()
        for checkpoint in (tmp_path / "f" / "checkpoints").iterdir():
            checkpoint.unlink()
        (segment,) = (tmp_path / "f" / "wal").glob("*.seg")
        segment.write_bytes(segment.read_bytes()[:-30])
        with open_as_follower(tmp_path / "f", db) as follower:
            assert follower.last_seq == 200
            assert follower.recovery is not None
            assert follower.recovery.torn is not None
            Link(db, [follower]).start().turns()
            assert same_state(follower, db)
            assert log_bytes(tmp_path / "f") == log_bytes(tmp_path / "leader")


# ------------------------------------------------------------------------------------ promotion


def test_a_promoted_follower_leads_and_the_old_leader_is_refused(tmp_path: Path) -> None:
    transport = InProcessTransport()
    ids = list(range(50))
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", max_future_skew=None) as old:
        old.ship(transport, name="a")
        second = tidal.open_follower(tmp_path / "b", transport, name="b", clock="event")
        third = tidal.open_follower(tmp_path / "c", transport, name="c", clock="event")
        last = events(old, 400)
        until(lambda: second.last_seq == third.last_seq == last)
        new = second.promote(clock="event", max_future_skew=None)
        new.ship(transport, name="b")
        last = events(new, 100, start=400)
        until(lambda: third.last_seq == last)
        assert same_state(third, new)
        until(lambda: old._shipping is not None and old._shipping.deposed)
        with pytest.raises(tidal.StaleEpoch, match="leads in epoch 2, this one led in epoch 1"):
            old.signal("view", 1, timestamp=10**18)
        assert new.scores("view", ids).tolist() == third.scores("view", ids).tolist()
    # What was the leader follows now; the same events, and those that came since.
    with tidal.open_follower(tmp_path / "a", transport, name="a", clock="event") as follower:
        until(lambda: follower.last_seq == new.last_seq)
        assert same_state(follower, new)
    third.close()
    new.close()


def test_one_of_two_is_promoted(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", max_future_skew=None) as old:
        old.ship(transport)
        one = tidal.open_follower(tmp_path / "b", transport, name="one", clock="event")
        two = tidal.open_follower(tmp_path / "c", transport, name="two", clock="event")
        last = events(old, 10)
        until(lambda: one.last_seq == two.last_seq == last)
        new = one.promote(clock="event")
        with pytest.raises(tidal.StaleEpoch, match="one has claimed epoch 2"):
            two.promote()
        assert two.trouble is None
        forced = two.promote(force=True, clock="event")
        assert forced._disk is not None
        assert forced._disk.identity.epoch == 3
        forced.close()
        new.close()


def test_a_leader_that_was_followed_by_another_may_not_ship(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event") as old:
        old.ship(transport, name="a")
        follower = tidal.open_follower(tmp_path / "b", transport, name="b", clock="event")
    follower.promote(clock="event").close()
    with (
        tidal.open(tmp_path / "a", clock="event") as again,
        pytest.raises(tidal.StaleEpoch, match="b has claimed epoch 2"),
    ):
        again.ship(transport, name="a")


def test_a_leader_without_followers_hears_of_a_later_one_from_its_claim(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", max_future_skew=None) as old:
        assert old._disk is not None
        transport.claim(claim_name(old._disk.identity, old.epoch + 1), b"b/1")
        shipping = old.ship(transport, name="a")
        until(lambda: shipping.deposed)
        with pytest.raises(tidal.StaleEpoch, match="leads in epoch 2, this one led in epoch 1"):
            until(lambda: old.signal("view", 1, timestamp=10**18) < 0)


def test_what_the_new_leader_never_had_is_cut_off_and_kept(tmp_path: Path) -> None:
    """The old leader had sent one follower more than the one that is promoted."""
    with leader_at(tmp_path / "a", segment_bytes=1 << 12) as old:
        with open_as_follower(tmp_path / "b", old, "b") as behind:
            ahead = open_as_follower(tmp_path / "c", old, "c")
            link = Link(old, [behind, ahead]).start()
            events(old, 400)
            link.turns()
            link.followers = [ahead]
            for number in range(10):
                events(old, 90, seed=number, start=400 + 90 * number)
            link.turns()
            assert (behind.last_seq, ahead.last_seq) == (400, 1300)
            ahead.checkpoint()
        with lead_from(tmp_path / "b", segment_bytes=1 << 12) as new:
            events(new, 50, seed=99, start=400)
            link = Link(new, [ahead]).start()
            link.turns()
            assert ahead.last_seq == 450
            assert same_state(ahead, new)
            kept = [path.name for path in (tmp_path / "c" / "quarantine").iterdir()]
            assert any(name.startswith("wal-") for name in kept)
            events(new, 50, seed=98, start=450)
            link.turns()
            assert same_state(ahead, new)
            ahead.close()
        with open_as_follower(tmp_path / "c", new) as again:
            assert again.last_seq == 500


def test_two_leaders_later_what_differs_is_still_found(tmp_path: Path) -> None:
    """The follower missed an epoch: the newest leader's own start is not the place to go back to."""
    with follower_ahead(tmp_path) as follower:
        with lead_from(tmp_path / "b") as second:
            events(second, 300, seed=5, start=100)
        with lead_from(tmp_path / "b") as third:
            events(third, 10, seed=6, start=400)
            Link(third, [follower]).start().turns(100)
            assert follower.last_seq == 410
            assert same_state(follower, third)


# ------------------------------------------------------------------------------------ schema, checkpoint


def test_a_schema_that_grew_is_taken_over(tmp_path: Path) -> None:
    grown = (
        SchemaBuilder()
        .signal("view", half_life="7d", windows=("1h", "24h"), velocity=True)
        .signal("like", half_life="1d", signed=True)
        .signal("share")
        .build()
    )
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 100)
        link.turns()
        db.close()
        with leader_at(tmp_path / "leader", schema=grown) as db:
            db.signal("share", 7, timestamp=10**18)
            db.flush()
            Link(db, [follower]).start().turns()
            assert follower.count("share", 7, "all") == 1
            assert same_state(follower, db)


class _Looks:
    """A materializer, so called when a batch is logged and being applied: how far is the follower then?"""

    def __init__(self) -> None:
        self.look: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.seen: list[tuple[int, int]] = []

    def on_events(self, batch: tidal.EventBatch) -> None:
        self.seen.append(self.look())

    def checkpoint(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        """There is none."""


def test_what_is_logged_and_not_yet_applied_is_not_said_to_be_here(tmp_path: Path) -> None:
    """Who waited for an event by ``last_seq`` reads it."""
    looks = _Looks()
    with (
        leader_at(tmp_path / "leader") as db,
        open_as_follower(tmp_path / "f", db, materializers={"looks": looks}) as follower,
    ):
        link = Link(db, [follower]).start()
        looks.look = lambda: (follower.last_seq, follower.receiver.lag(link.now).events)
        for number in range(5):
            events(db, 100, seed=number, start=100 * number)
            link.turn()
        link.turns()
        assert looks.seen == [(100 * before, 100) for before in range(5)]
        assert follower.last_seq == 500


def test_a_follower_begins_with_a_checkpoint(tmp_path: Path) -> None:
    """The leader's log does not go back to its first event any more."""
    transport = InProcessTransport(max_payload=1 << 14)
    with leader_at(tmp_path / "leader", segment_bytes=1 << 13) as db:
        db.items.put("sku:1", {"title": "Ebb"})
        db.signal("view", "sku:1", timestamp=10**18)
        for number in range(20):
            events(db, 300, seed=number, start=300 * number)
            if number % 4 == 0:
                db.checkpoint()
        db.archive()
        assert min((tmp_path / "leader" / "wal").glob("*.seg")).name > "wal-00000000000000000001.seg"
        db.ship(transport)
        with tidal.open_follower(tmp_path / "f", transport, name="f", clock="event") as follower:
            until(lambda: follower.last_seq == db.last_seq)
            assert same_state(follower, db)
            assert follower.items.get("sku:1") == {"title": "Ebb"}
            assert follower.score("view", "sku:1") == db.score("view", "sku:1")
        assert not (tmp_path / "f.beginning").exists()
        with tidal.open_follower(tmp_path / "f", transport, name="f", clock="event") as follower:
            assert same_state(follower, db)


def test_a_follower_begins_with_a_leader_that_was_opened_again(tmp_path: Path) -> None:
    """The log behind the newest checkpoint is of an earlier epoch than the leader."""
    transport = InProcessTransport()
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12) as db:
        for number in range(3):
            events(db, 300, seed=number, start=300 * number)
            db.checkpoint()
        db.archive()
    with leader_at(tmp_path / "leader") as db:
        db.ship(transport)
        with tidal.open_follower(tmp_path / "f", transport, name="f", clock="event") as follower:
            assert (db.epoch, follower.position) == (2, tidal.replication.Position(1, 900))
            last = events(db, 10, start=900)
            until(lambda: follower.last_seq == last)
            assert follower.position == (2, 910)
            assert same_state(follower, db)


class Ends(Exception):
    """The process ends here."""


@pytest.mark.parametrize("goes_on_as", ["leader", "follower"])
def test_a_promotion_that_ended_before_the_store_was_opened_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_on_as: str
) -> None:
    def end(*_: object, **__: object) -> None:
        raise Ends

    transport = InProcessTransport()
    with leader_at(tmp_path / "a") as db:
        db.ship(transport, name="a")
        follower = tidal.open_follower(tmp_path / "f", transport, name="f", clock="event")
        follower.wait_for(events(db, 10))
        with monkeypatch.context() as patch, pytest.raises(Ends):
            patch.setattr("tidal.following.follower.open_store", end)
            follower.promote(clock="event")
    claim = transport.claimed(claim_name(db._disk.identity, 2))  # type: ignore[union-attr]
    assert claim is not None and claim.startswith(b"f/")
    if goes_on_as == "leader":
        new = tidal.open(tmp_path / "f", clock="event")
    else:
        new = tidal.open_follower(tmp_path / "f", transport, name="f", clock="event").promote(clock="event")
    with new:
        new.ship(transport, name="f")
        assert (new.epoch, new.last_seq) == (2 if goes_on_as == "leader" else 3, 10)
        assert (new._claimed == claim) == (goes_on_as == "leader")
    with tidal.open(tmp_path / "f", clock="event") as new:  # an epoch later, which it has not claimed yet
        new.ship(transport, name="f")
        assert new._claimed != claim
    assert not verify(tmp_path / "f").findings


class Nameless(OsFileSystem):
    """Gives no folder its name: what is made in one is as a crash leaves it."""

    def rename(self, source: Path, target: Path) -> None:
        if source.suffix == ".beginning":
            raise tidal.StorageError("no name")
        super().rename(source, target)


@pytest.mark.parametrize("left_by", ["another store", "this one"])
def test_what_an_interrupted_beginning_left_is_not_in_the_new_folder(tmp_path: Path, left_by: str) -> None:
    transport = InProcessTransport()
    with leader_at(tmp_path / "a") as db:
        db.items.put("sku:1", {"title": "Ebb"})
        db.ship(transport)
        with pytest.raises(tidal.StorageError, match="no name"):
            tidal.open_follower(tmp_path / "f", transport, name="f", file_system=Nameless())
        db.items.delete("sku:1")
    assert (tmp_path / "f.beginning" / "following.json").exists()
    folder, transport = (tmp_path / "a" if left_by == "this one" else tmp_path / "b"), InProcessTransport()
    with leader_at(folder) as db:
        db.items.put("sku:2", {"title": "Flood"})
        db.ship(transport)
        with tidal.open_follower(tmp_path / "f", transport, name="f", clock="event") as follower:
            assert follower.items.get("sku:1") is None
            assert follower.items.get("sku:2") == {"title": "Flood"}
            follower.wait_for(events(db, 10))
            assert same_state(follower, db)


def test_a_follower_s_name_is_one_that_its_leader_can_keep_the_log_for(tmp_path: Path) -> None:
    name = "n" * 55
    transport = InProcessTransport()
    with leader_at(tmp_path / "a") as db, db.ship(transport, followers=[name]):
        for wrong in (name + "n", "", "-a", "a/b"):
            with pytest.raises(tidal.InvalidMark, match="then up to 54 of"):
                tidal.open_follower(tmp_path / "f", transport, name=wrong)
        with tidal.open_follower(tmp_path / "f", transport, name=name, clock="event") as follower:
            follower.wait_for(events(db, 10))
            until(lambda: db.marks.get(f"follower.{name}") == 10)


def test_a_claim_that_nobody_answers_leaves_a_follower_that_can_be_promoted(tmp_path: Path) -> None:
    class Unsure(InProcessTransport):
        answers = False

        def claim(self, name: str, value: bytes) -> bytes:
            if not self.answers and name.endswith("/2"):
                raise tidal.TransportError("no answer")
            return super().claim(name, value)

    transport = Unsure()
    with leader_at(tmp_path / "a") as db:
        db.ship(transport, name="a")
        follower = tidal.open_follower(tmp_path / "f", transport, name="f", clock="event")
        follower.wait_for(events(db, 10))
        with pytest.raises(tidal.TransportError, match="no answer"):
            follower.promote(clock="event")
        assert follower.wait_for(events(db, 10)) == 20
        transport.answers = True
        with follower.promote(clock="event") as new:
            assert new.last_seq == 20


def test_a_silent_leader_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(tidal.TransportError, match="no leader of region 0, shard 0 answered"):
        tidal.open_follower(tmp_path / "f", InProcessTransport(), name="f", timeout="100ms")
    assert not (tmp_path / "f").exists()


def test_a_follower_opens_without_its_leader(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db, open_as_follower(tmp_path / "f", db) as follower:
        link = Link(db, [follower]).start()
        events(db, 100)
        link.turns()
    with tidal.open_follower(tmp_path / "f", InProcessTransport(), name="f", clock="event") as follower:
        assert follower.last_seq == 100
        assert follower.staleness is None


# ------------------------------------------------------------------------------------ marks


def test_the_log_waits_for_a_follower_that_was_named(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12) as db:
        with open_as_follower(tmp_path / "f", db) as follower:
            link = Link(db, [follower], names=["f"]).start()
            events(db, 100)
            link.turns()
        for number in range(12):
            events(db, 300, seed=number, start=100 + 300 * number)
            db.checkpoint()
        report = db.archive()
        assert (report.held_at, report.held_by) == (100, "follower.f")
        with open_as_follower(tmp_path / "f", db) as follower:
            Link(db, [follower], names=["f"]).start().turns()
            assert same_state(follower, db)


def test_a_follower_that_keeps_too_much_is_dropped_and_said_to_be(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12) as db:
        link = Link(db, names=["gone"], hold_bytes=20_000)
        link.turn()
        assert db.marks.get("follower.gone") == 0
        for number in range(12):
            events(db, 600, seed=number, start=600 * number)
            db.checkpoint()
        link.turn(2.0)
        (status,) = link.shipper.followers(link.now)
        assert status.state == "dropped"
        assert status.held_bytes > 20_000
        assert db.marks.get("follower.gone") is None
        assert db.archive().held_by == "checkpoint"
        with open_as_follower(tmp_path / "f", db, "gone") as late:
            Link(db, [late]).start().turns(5)
            assert late.last_seq == 0
            assert "begin anew with a checkpoint" in (late.receiver.unhealthy or "")


def test_no_batch_is_sent_while_nobody_listens(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db:
        link = Link(db)
        events(db, 100)
        for _ in range(5):
            link.turn()
        assert not [it for it in link.sent if isinstance(decode_message(it)[1], Batch)]


# ------------------------------------------------------------------------------------ waiting


def test_waiting_for_events(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "a", schema=SCHEMA, clock="event", max_future_skew=None) as db:
        shipping = db.ship(transport)
        with tidal.open_follower(tmp_path / "b", transport, name="b", clock="event") as follower:
            last = events(db, 100)
            assert shipping.wait_for(last) == last
            assert follower.wait_for(last) == last
            with pytest.raises(tidal.ReplicationError, match=r"event 101 has not come within 0\.01 s"):
                follower.wait_for(last + 1, timeout="10ms")
            with pytest.raises(tidal.ReplicationError, match="2 followers do not have event 100"):
                shipping.wait_for(last, followers=2, timeout="10ms")
        with pytest.raises(tidal.InvalidOption, match="ships its log already"):
            db.ship(transport)
        shipping.close()
        with pytest.raises(tidal.ReplicationError, match="nothing is shipped any more"):
            shipping.wait_for(last, followers=2)
        db.ship(transport).close()
        assert db.followers() == ()


def test_a_database_ships_once_whoever_asks_at_the_same_time(tmp_path: Path) -> None:
    found: list[BaseException | None] = []

    class Other(InProcessTransport):
        """While it is asked for an epoch, somebody else wants to ship."""

        def claim(self, name: str, value: bytes) -> bytes:
            if not meanwhile.is_alive():
                meanwhile.start()
                meanwhile.join(0.2)  # which waits for us
            return super().claim(name, value)

    def ship() -> None:
        try:
            db.ship(InProcessTransport())
        except tidal.InvalidOption as error:
            found.append(error)

    meanwhile = threading.Thread(target=ship)
    with leader_at(tmp_path / "a") as db:
        db.ship(Other())
        meanwhile.join()
        assert [str(it) for it in found] == ["the database ships its log already"]


def test_a_closed_database_neither_ships_nor_knows_followers(tmp_path: Path) -> None:
    with leader_at(tmp_path / "a") as db:
        shipping = db.ship(InProcessTransport())
    assert shipping.closed
    with pytest.raises(tidal.StoreClosed):
        db.followers()
    with pytest.raises(tidal.StoreClosed):
        db.ship(InProcessTransport())


def test_a_database_in_memory_has_nothing_to_ship() -> None:
    with tidal.open(schema=SCHEMA) as db:
        assert db.followers() == ()
        with pytest.raises(tidal.StoreMissing, match="no log to ship"):
            db.ship(InProcessTransport())


def test_what_a_follower_remembers_is_checked(tmp_path: Path) -> None:
    with leader_at(tmp_path / "leader") as db:
        open_as_follower(tmp_path / "f", db).close()
        path = tmp_path / "f" / "following.json"
        good = path.read_bytes()
        path.write_bytes(good.replace(b'"leader_epoch":0', b'"leader_epoch":1'))
        with pytest.raises(tidal.CorruptStore, match=r"following\.json.*hash does not match"):
            open_as_follower(tmp_path / "f", db)
        path.write_bytes(good)
        open_as_follower(tmp_path / "f", db).close()


def test_what_is_archived_while_nothing_can_be_sent_is_asked_for(tmp_path: Path) -> None:
    """The leader's thread was held up, by its transport: where it was in the log is gone meanwhile."""
    with leader_at(tmp_path / "a", segment_bytes=1 << 12) as db, open_as_follower(tmp_path / "f", db) as it:
        link = Link(db, [it]).start()
        events(db, 100)
        link.turns()
        for number in range(24):
            events(db, 300, seed=number, start=100 + 300 * number)
            if number % 4 == 3:
                db.checkpoint()
        db.archive()
        link.turns()
        assert link.shipper.followers(link.now)[0].state == "dropped"
        assert "begin anew with a checkpoint" in (it.receiver.unhealthy or "")
        with open_as_follower(tmp_path / "g", db, "g") as other:  # and others are heard
            link.followers.append(other)
            link.start().turns(5)
            assert {each.name for each in link.shipper.followers(link.now)} == {"f", "g"}


def test_a_follower_that_lost_its_disk_is_behind_again(tmp_path: Path) -> None:
    with leader_at(tmp_path / "a") as db:
        with open_as_follower(tmp_path / "f", db) as follower:
            link = Link(db, [follower]).start()
            events(db, 100)
            link.turns()
            assert link.shipper.followers(link.now)[0].seq == 100
        shutil.rmtree(tmp_path / "f")
        with open_as_follower(tmp_path / "f", db) as follower:
            link.followers = [follower]
            link.carry = lambda payload: []  # nothing arrives yet
            link.start().turn()
            assert follower.last_seq == 0
            assert link.shipper.followers(link.now)[0].seq == 0
            link.carry = lambda payload: [payload]
            link.turns()
            assert same_state(follower, db)
