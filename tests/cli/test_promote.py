"""`tidal promote`: what speaks against it, and that the folder leads after it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from commands import Answer
from obstore.store import LocalStore
from replicakit import Link, archived_once_listed, events, leader_at, open_as_follower
from waiting import until

import tidal
from tidal.cli.promote import Place, _place, objections
from tidal.replication.heard import Heard
from tidal.replication.lag import Position
from tidal.transports.objects import ObjectTransport

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
Command = Callable[..., Answer]


class Pair:
    """A leader, and the folder of a follower that nobody follows with any more."""

    def __init__(self, base: Path, stack: ExitStack) -> None:
        self.shared, self.copy = base / "shared", base / "b"
        self.shared.mkdir()
        self.stack = stack
        self.leader = tidal.open(base / "a", schema=SCHEMA)
        self._close = stack.enter_context(ExitStack())
        self._close.callback(self.leader.close)
        self.leader.ingest(signal="view", entity_id=[1, 2, 1])
        self.leader.ship(self.transport(), name="a", followers=["b"])
        with self.follower(self.copy, "b") as follower:
            follower.wait_for(3)

    def transport(self) -> ObjectTransport:
        return self.stack.enter_context(ObjectTransport(LocalStore(self.shared), poll_seconds=0.02))

    def follower(self, path: Path, name: str) -> tidal.FollowerDb:
        return tidal.open_follower(path, self.transport(), name=name)

    def end_leader(self) -> None:
        self._close.close()


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    listen_for(monkeypatch, 0.0)
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def listen_for(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("tidal.cli.promote.LISTEN_SECONDS", seconds)


def test_a_follower_leads_once_its_leader_is_gone(tidal_command: Command, pair: Pair) -> None:
    digest = pair.leader.state_digest()
    pair.end_leader()
    answer = tidal_command("promote", pair.copy, "--object", pair.shared)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{pair.copy} leads from epoch 2 on, after event 3.")
    with tidal.open(pair.copy) as db:
        assert db.last_seq == 3 and db.state_digest() == digest
        db.ship(pair.transport(), name="b")
        assert db.signal("view", 1) == 4
    again = tidal_command("promote", pair.copy, "--object", pair.shared)
    assert again.code == 2 and "follows nobody" in again.err


def test_one_that_is_promoted_is_the_only_one(tidal_command: Command, pair: Pair, tmp_path: Path) -> None:
    with pair.follower(tmp_path / "c", "c") as other:
        other.wait_for(3)
        pair.end_leader()
        assert tidal_command("promote", pair.copy, "--object", pair.shared).code == 0
        with pytest.raises(tidal.StaleEpoch, match="b has claimed epoch 2"):
            other.promote()
    refused = tidal_command("promote", tmp_path / "c", "--object", pair.shared)
    assert refused.code == 1 and "b has claimed epoch 2" in refused.err
    assert (tmp_path / "c" / "following.json").exists()
    forced = tidal_command("promote", tmp_path / "c", "--object", pair.shared, "--force", "--format", "json")
    assert forced.json == {"path": str(tmp_path / "c"), "epoch": 3, "last_seq": 3}


def test_not_while_a_leader_is_heard(
    tidal_command: Command, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen_for(monkeypatch, 0.8)  # a leader speaks twice a second
    answer = tidal_command("promote", pair.copy, "--object", pair.shared)
    assert answer.code == 1 and "a leader of epoch 1 is heard, at event 3" in answer.err
    assert pair.leader.signal("view", 1) == 4
    look = tidal_command("promote", pair.copy, "--object", pair.shared, "--look", "--format", "json")
    assert look.code == 1 and list(look.json["against"]) == ["depose"]
    assert look.json["leader"] == {"epoch": 1, "seq": 4}
    answer = tidal_command("promote", pair.copy, "--object", pair.shared, "--depose")
    assert answer.code == 0
    with tidal.open(pair.copy) as db, pair.follower(pair.copy.parent / "c", "c") as other:
        db.ship(pair.transport(), name="b")
        until(lambda: other.epoch == db.epoch)
        until(lambda: is_refused(pair.leader))


def is_refused(db: tidal.TidalDb) -> bool:
    try:
        db.signal("view", 1)
    except tidal.StaleEpoch:
        return True
    return False


def test_not_while_another_follower_has_more(
    tidal_command: Command, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen_for(monkeypatch, 1.3)  # an idle follower speaks once a second
    with pair.follower(tmp_path / "c", "c") as other:
        other.wait_for(pair.leader.signal("view", 2))
        pair.end_leader()
        look = tidal_command("promote", pair.copy, "--object", pair.shared, "--look")
        assert look.code == 1
        assert look.out.splitlines()[2:] == [
            "c         1      4",
            "b         1      3  this folder, not running",
            "- the follower 'c' has 4 events, the last of epoch 1, and this one 3 events, the last of epoch "
            "1: promote that one, or say --behind",
        ]
        refused = tidal_command("promote", pair.copy, "--object", pair.shared)
        assert refused.code == 1 and "promote that one, or say --behind; nothing was changed" in refused.err
        assert tidal_command("promote", pair.copy, "--object", pair.shared, "--behind").code == 0


def test_a_process_that_follows_is_ended_when_asked(tidal_command: Command, pair: Pair) -> None:
    pair.end_leader()
    command = ["-m", "tidal.cli", "follow", str(pair.copy), "--object", str(pair.shared), "--name", "b"]
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"{pair.copy} follows")
            refused = tidal_command("promote", pair.copy, "--object", pair.shared)
            assert refused.code == 1 and f"process {process.pid} has the folder open" in refused.err
            assert process.poll() is None
            assert tidal_command("promote", pair.copy, "--object", pair.shared, "--stop").code == 0
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_follower_that_archives_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its archiver comes between the list of the log's segments and the reading of the first."""
    with (
        leader_at(tmp_path / "a", segment_bytes=1 << 12) as leader,
        open_as_follower(tmp_path / "f", leader, archive=False) as follower,
    ):
        link = Link(leader, [follower]).start()
        for number in range(4):
            events(leader, 300, seed=number, start=300 * number)
            link.turns()
            follower.checkpoint()
        removed = archived_once_listed(monkeypatch, follower)
        assert _place(tmp_path / "f").position == follower.position
        assert removed


def test_only_a_follower_is_promoted(tidal_command: Command, pair: Pair, tmp_path: Path) -> None:
    missing = tidal_command("promote", tmp_path / "none", "--object", pair.shared)
    assert missing.code == 3 and "not a store" in missing.err
    leads = tidal_command("promote", tmp_path / "a", "--object", pair.shared)
    assert leads.code == 2 and "follows nobody" in leads.err


def test_positions_are_compared_by_epoch_first() -> None:
    place = Place("b", "b", 2, Position(2, 100), None)
    late = {"c": Position(1, 500), "b": Position(2, 900)}
    assert objections(place, Heard(Position(1, 600), late)) == {}
    assert list(objections(place, Heard(None, {"c": Position(2, 101)}))) == ["behind"]
    assert list(objections(place, Heard(Position(2, 0), {}))) == ["depose"]
