"""Followers whose log and their leader's went different ways: taken back to where both were the same."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from replicakit import (
    Link,
    events,
    follower_ahead,
    lead_from,
    leader_at,
    log_bytes,
    open_as_follower,
    same_state,
)

import tidal
from tidal.archive import read_archive_manifest
from tidal.db import upkeep as upkeep_module
from tidal.db.upkeep import Upkeep
from tidal.durable import OsFileSystem
from tidal.following.follower import FollowerDb
from tidal.replication.continued import FollowerLog
from tidal.store import StorePaths


def test_a_follower_goes_back_further_than_to_where_its_leader_s_epoch_began(tmp_path: Path) -> None:
    """The newest leader's own start is within what the follower has, after the place where they parted."""
    with follower_ahead(tmp_path) as follower:
        with lead_from(tmp_path / "b") as second:
            events(second, 50, seed=5, start=100)
        with lead_from(tmp_path / "b") as third:
            Link(third, [follower]).turns(100)  # the follower hears of it before it asks
            assert follower.receiver.unhealthy is None
            assert (follower.last_seq, follower.position) == (150, tidal.replication.Position(2, 150))
            assert same_state(follower, third)
            (kept,) = (tmp_path / "c" / "quarantine").glob("wal-*")
            assert kept.stat().st_size > 0


def test_a_log_that_parts_before_its_leader_s_epoch_began_is_taken_back(tmp_path: Path) -> None:
    """It led for a while, unheard, and the others went on with the old leader; a third leads since."""
    with leader_at(tmp_path / "a") as old:
        one, two = (open_as_follower(tmp_path / name, old, name) for name in ("b", "c"))
        with two:
            with one:
                link = Link(old, [one, two]).start()
                events(old, 100)
                link.turns()
            with lead_from(tmp_path / "b") as second:
                events(second, 10, seed=5, start=100)
            link.followers = [two]
            events(old, 20, seed=6, start=100)
            link.turns()
            two._host.end_following(2)
    with lead_from(tmp_path / "c") as third, open_as_follower(tmp_path / "b", third, "b") as follower:
        assert (third.epoch, third.last_seq, follower.last_seq) == (3, 120, 110)
        link = Link(third, [follower]).start().turns(100)
        assert follower.last_seq == 120
        assert same_state(follower, third)
        assert [it.state for it in link.shipper.followers(link.now)] == ["live"]


def test_what_is_of_a_later_epoch_than_the_leader_s_is_not_given_up(tmp_path: Path) -> None:
    """The old leader has not heard that another one followed it; who did waits, and says so."""
    with leader_at(tmp_path / "a") as old:
        with open_as_follower(tmp_path / "b", old, "b") as follower:
            link = Link(old, [follower]).start()
            events(old, 100)
            link.turns()
        with lead_from(tmp_path / "b") as second:
            events(second, 50, seed=5, start=100)
        with open_as_follower(tmp_path / "b", old, "b") as follower:
            link = Link(old, [follower]).start().turns()
            assert follower.last_seq == 150
            assert "has events of epoch 2, and its leader, of epoch 1" in (follower.receiver.unhealthy or "")
            assert [it.state for it in link.shipper.followers(link.now)] == ["foreign"]


def test_a_log_that_does_not_reach_back_to_where_both_were_the_same_says_what_to_do(tmp_path: Path) -> None:
    with leader_at(tmp_path / "a", segment_bytes=1 << 12) as old:
        with open_as_follower(tmp_path / "b", old, "b") as behind:
            ahead = open_as_follower(tmp_path / "c", old, "c")
            link = Link(old, [behind, ahead]).start()
            events(old, 100)
            link.turns()
            link.followers = [ahead]
            for number in range(10):
                events(old, 90, seed=number, start=100 + 90 * number)
                link.turns()
                ahead.checkpoint()
            ahead.archive()
        with lead_from(tmp_path / "b") as new:
            before = log_bytes(tmp_path / "c")
            Link(new, [ahead]).start().turns()
            stopped = ahead.receiver.stopped
            assert isinstance(stopped, tidal.ForeignHistory)
            assert "does not reach back further: move the folder away, and begin anew" in str(stopped)
            assert ahead.receiver.unhealthy == str(stopped)
            assert (ahead.last_seq, log_bytes(tmp_path / "c")) == (
                1000,
                before,
            )  # nothing was given up for that
        ahead.close()


def test_a_log_is_not_cut_where_the_leader_s_does_not_go_on(tmp_path: Path) -> None:
    """What both have in common ends before the leader's log begins: that can only be begun anew."""
    with leader_at(tmp_path / "a") as old:
        with open_as_follower(tmp_path / "b", old, "b") as behind:
            follower = open_as_follower(tmp_path / "c", old, "c")
            link = Link(old, [behind, follower]).start()
            events(old, 100)
            link.turns()
            link.followers = [follower]
            events(old, 100, start=100)
            link.turns()
        with lead_from(tmp_path / "b", segment_bytes=1 << 12) as new:
            for number in range(10):
                events(new, 90, seed=number, start=100 + 90 * number)
                new.checkpoint()
            new.archive()
            Link(new, [follower]).start().turns()
            assert "part after event 100, and that one begins at" in str(follower.receiver.stopped)
            assert follower.last_seq == 200
        follower.close()


def test_a_checkpoint_of_a_history_that_the_leader_has_not_is_refused(tmp_path: Path) -> None:
    """It began with the checkpoint of a leader that died; a batch of the next one goes over its sequence."""
    with leader_at(tmp_path / "a") as old:
        with open_as_follower(tmp_path / "b", old, "b") as behind:
            link = Link(old, [behind]).start()
            events(old, 90)
            link.turns()
        events(old, 10, seed=1, start=90)
        old.checkpoint()
        open_as_follower(tmp_path / "f", old).close()
        shutil.rmtree(tmp_path / "f" / "checkpoints")
        shutil.copytree(tmp_path / "a" / "checkpoints", tmp_path / "f" / "checkpoints")
    with lead_from(tmp_path / "b") as new:
        events(new, 60, seed=9, start=90)
        with open_as_follower(tmp_path / "f", new) as follower:
            Link(new, [follower]).start().turns()
            assert follower.last_seq == 90
            assert "another history" in follower.receiver.refusals[-1].reason


class _Counts:
    """A materializer: how many events there were of each entity."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def on_events(self, batch: tidal.EventBatch) -> None:
        for entity in batch.entity_id.tolist():
            self.counts[str(entity)] = self.counts.get(str(entity), 0) + 1

    def checkpoint(self) -> bytes:
        return json.dumps(self.counts).encode()

    def restore(self, state: bytes) -> None:
        self.counts = json.loads(state)


@pytest.mark.parametrize("shared", [100, 0])
@pytest.mark.parametrize("saved", ["in a checkpoint", "in none", "in a later one"])
def test_what_a_materializer_took_of_events_that_are_cut_off_is_taken_back(
    tmp_path: Path, shared: int, saved: str
) -> None:
    counts = _Counts()
    with leader_at(tmp_path / "a") as old:
        with open_as_follower(tmp_path / "b", old, "b") as behind:
            known = {"counts": counts} if saved == "in a checkpoint" else {}
            with open_as_follower(tmp_path / "c", old, "c", materializers=known) as follower:
                link = Link(old, [behind, follower]).start()
                if shared:
                    events(old, shared)
                    link.turns()
                if saved != "in none":
                    follower.checkpoint()
            if not known:
                follower = open_as_follower(tmp_path / "c", old, "c", materializers={"counts": counts})
            else:
                counts.counts = {}
                follower = open_as_follower(tmp_path / "c", old, "c", materializers=known)
            link = Link(old, [follower]).start()
            events(old, 50, seed=1, start=shared)
            link.turns()
            if saved == "in a later one":
                follower.checkpoint()
        with lead_from(tmp_path / "b") as new:
            events(new, 30, seed=5, start=shared)
            Link(new, [follower]).start().turns()
            assert follower.last_seq == shared + 30
            ids = list(range(50))
            every = [sum(follower.count(it, at, "all") for it in ("view", "like")) for at in ids]
            assert [counts.counts.get(str(at), 0) for at in ids] == every
            assert sum(every) == shared + 30
        follower.close()


@contextmanager
def held_before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, work: Callable[[], object]
) -> Iterator[None]:
    """Work of a database in a thread, held up before one step until somebody waits for it to end."""
    reached, go_on = threading.Event(), threading.Event()
    real, ended = getattr(owner, step), Upkeep.ended

    def held(*given: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return real(*given)

    def waited_for(self: Upkeep) -> Any:
        go_on.set()
        return ended(self)

    monkeypatch.setattr(owner, step, held)
    monkeypatch.setattr(Upkeep, "ended", waited_for)
    thread = threading.Thread(target=work)
    thread.start()
    assert reached.wait(60)
    yield
    thread.join()


def test_a_checkpoint_that_is_being_written_does_not_outlive_what_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with follower_ahead(tmp_path) as follower, lead_from(tmp_path / "b") as new:
        events(new, 60, seed=9, start=100)
        link = Link(new, [follower])
        with held_before(monkeypatch, upkeep_module, "save_checkpoint", follower.checkpoint):
            link.start().turns()
        assert follower.last_seq == 160
        assert same_state(follower, new)
        assert list((tmp_path / "c" / "checkpoints").iterdir()) == []
        events(new, 60, seed=10, start=160)  # a batch over the sequence of that checkpoint
        link.turns()
        assert same_state(follower, new)
        assert follower.receiver.refused == 0


@contextmanager
def archive_ahead(folder: Path) -> Iterator[tuple[FollowerDb, Link]]:
    """A follower that may archive what its leader has not, from event 101 on, and the way to that leader."""
    with leader_at(folder / "a", segment_bytes=1 << 12) as old:
        ahead = open_as_follower(folder / "c", old, "c", archive=False)
        with open_as_follower(folder / "b", old, "b") as behind:
            link = Link(old, [behind, ahead]).start()
            events(old, 100)
            link.turns()
        link.followers = [ahead]
        for number in range(7):
            events(old, 90, seed=number, start=100 + 90 * number)
            link.turns()
            if number >= 5:
                ahead.checkpoint()
    with ahead, lead_from(folder / "b") as new:
        events(new, 60, seed=9, start=100)
        yield ahead, Link(new, [ahead])


def assert_not_cut(follower: FollowerDb) -> None:
    """It stopped, with all that it had, and says why."""
    stopped = follower.receiver.stopped
    assert isinstance(stopped, tidal.ForeignHistory)
    assert "the archive has events after 100 that the leader has not; move the folder away" in str(stopped)
    assert follower.receiver.unhealthy == str(stopped)
    assert follower.last_seq == 730
    assert sum(1 for _ in follower.export_signals(tidal.ExportRequest(all=True))) == 730


def test_a_log_is_not_cut_while_its_events_are_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archive_ahead(tmp_path) as (follower, link):
        with held_before(monkeypatch, FollowerLog, "forget", follower.archive):
            link.start().turns()
        assert_not_cut(follower)


def test_what_is_archived_is_not_cut_off_though_the_log_has_it_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash, or a full disk, came between the manifest of the archive and that of the log."""
    with archive_ahead(tmp_path) as (follower, link):
        with monkeypatch.context() as patched, pytest.raises(tidal.NoSpace):
            patched.setattr(FollowerLog, "forget", full)
            follower.archive()
        link.start().turns()
        assert_not_cut(follower)


def full(log: FollowerLog, through_seq: int) -> tuple[Path, ...]:
    raise tidal.NoSpace("no space")


def test_an_archiver_that_was_about_to_begin_begins_no_more_once_the_log_was_cut(tmp_path: Path) -> None:
    """Its checkpoint was written; what the log needs no longer by that one is not known of the log now."""
    with archive_ahead(tmp_path) as (follower, link):
        before = follower._upkeep
        assert before._archiver is not None
        link.start().turns()
        assert follower.last_seq == 160
        before._archive_aside(before._archiver)
        assert before.archive_error is None
        paths, identity = StorePaths(tmp_path / "c"), follower._disk.identity  # type: ignore[union-attr]
        assert read_archive_manifest(OsFileSystem(), paths.archive, identity) is None
