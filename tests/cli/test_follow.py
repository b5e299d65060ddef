"""`tidal follow`: a copy that goes on until a signal, and says how far it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Answer
from obstore.store import LocalStore
from waiting import until

import tidal
from tidal.cli.ending import ended_by_signals, unwound_by_signals
from tidal.cli.follow import run as follow
from tidal.cli.main import build_parser
from tidal.transports.objects import ObjectTransport

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
Command = Callable[..., Answer]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The folder that carries the messages."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def leader(tmp_path: Path, shared: Path) -> Iterator[tidal.TidalDb]:
    """A leader with three events, which ships."""
    with (
        ObjectTransport(LocalStore(shared), poll_seconds=0.02) as transport,
        tidal.open(tmp_path / "leader", schema=SCHEMA) as db,
    ):
        db.ingest(signal="view", entity_id=[1, 2, 1])
        db.ship(transport, name="a", followers=["b"])
        yield db


def ended_when(condition: Callable[[], object], number: int = signal.SIGTERM) -> threading.Thread:
    """Send this process a signal once a condition holds."""

    def wait() -> None:
        try:
            until(condition)
        finally:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def has(db: tidal.TidalDb, name: str, seq: int) -> Callable[[], bool]:
    return lambda: any(it.name == name and it.seq >= seq for it in db.followers())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_follows_until_a_signal_and_goes_on_later(
    tidal_command: Command, leader: tidal.TidalDb, shared: Path, tmp_path: Path, number: int
) -> None:
    before = signal.getsignal(number)
    for seq in (3, 4):
        thread = ended_when(has(leader, "b", seq), number)
        answer = tidal_command(
            "follow", tmp_path / "b", "--object", shared, "--name", "b", "--interval", 0.05
        )
        thread.join()
        assert answer.code == 0 and answer.err == ""
        assert answer.out.startswith(f"{tmp_path / 'b'} follows as 'b' (process {os.getpid()})")
        with tidal.open(tmp_path / "b", read_only=True) as copy:
            assert copy.last_seq == seq and copy.state_digest() == leader.state_digest()
        leader.signal("view", 3)
    assert signal.getsignal(number) == before


def test_json_is_a_line_each_time(
    tidal_command: Command, leader: tidal.TidalDb, shared: Path, tmp_path: Path
) -> None:
    thread = ended_when(has(leader, "b", 3))
    answer = tidal_command(
        "follow", tmp_path / "b", "--object", shared, "--name", "b", "--interval", 0.05, "--format", "json"
    )
    thread.join()
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0 and len(lines) > 1
    assert lines[0]["name"] == "b" and lines[0]["pid"] == os.getpid()
    assert lines[-1]["position"] == {"epoch": 1, "seq": 3} and lines[-1]["lag_events"] == 0


def test_on_a_terminal_the_line_is_drawn_over(leader: tidal.TidalDb, shared: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    arguments = ["follow", str(tmp_path / "b"), "--object", str(shared), "--name", "b"]
    thread = ended_when(lambda: "event 3  epoch 1" in out.getvalue())
    assert follow(build_parser().parse_args(arguments), out, out) == 0
    thread.join()
    drawn = out.getvalue().split("\r")[1:]
    assert len(drawn) > 1 and all(len(line.rstrip("\n")) == 79 for line in drawn)
    assert out.getvalue().endswith("\n")


def test_a_store_that_was_written_to_is_made_a_follower_only_when_asked(
    tidal_command: Command, leader: tidal.TidalDb, shared: Path, tmp_path: Path
) -> None:
    thread = ended_when(has(leader, "b", 3))
    tidal_command("follow", tmp_path / "b", "--object", shared, "--name", "b")
    thread.join()
    (tmp_path / "b" / "following.json").unlink()
    answer = tidal_command("follow", tmp_path / "b", "--object", shared, "--name", "b")
    assert answer.code == 2 and "--demote" in answer.err
    assert not (tmp_path / "b" / "following.json").exists()
    leader.signal("view", 3)
    thread = ended_when(has(leader, "b", 4))
    assert tidal_command("follow", tmp_path / "b", "--object", shared, "--name", "b", "--demote").code == 0
    thread.join()


def test_it_ends_when_it_cannot_go_on(
    tidal_command: Command,
    leader: tidal.TidalDb,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidal.following.FollowerDb.trouble", "the log is of another history")
    answer = tidal_command("follow", tmp_path / "b", "--object", shared, "--name", "b")
    assert (answer.code, answer.err) == (1, "tidal follow: the log is of another history\n")


def test_without_a_leader_no_copy_is_begun(tidal_command: Command, shared: Path, tmp_path: Path) -> None:
    answer = tidal_command("follow", tmp_path / "b", "--object", shared, "--wait", "100ms")
    assert answer.code == 1 and "no leader of region 0, shard 0 answered" in answer.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--nats URL or --object"),
        (["--nats", "nats://127.0.0.1:1", "--object", "."], "--nats URL or --object"),
        (["--object", "nowhere"], "nowhere is not a folder"),
        (["--object", "what://x"], "no object store"),
        (["--object", ".", "--replicas", "3"], "are of --nats"),
        (["--object", ".", "--interval", "0"], "--interval 0"),
        (["--object", ".", "--metrics-remote"], "--metrics-remote"),
    ],
)
def test_a_wrong_command_line_touches_nothing(
    tidal_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = tidal_command("follow", "b", *arguments)
    assert answer.code == 2 and said in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_left_by_sigterm_with_what_its_blocks_do_at_their_end() -> None:
    done = []
    with pytest.raises(SystemExit) as left, unwound_by_signals(), contextlib.ExitStack() as stack:
        stack.callback(done.append, "closed")
        os.kill(os.getpid(), signal.SIGTERM)
    assert (left.value.code, done) == (143, ["closed"])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_ends_a_block_at_once_until_it_waits() -> None:
    reached = []
    with ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("never")
    with ended_by_signals() as ending:
        assert not ending.wait(0.0)
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("this is done first")
        assert ending.wait(60.0)
    assert reached == ["this is done first"]
