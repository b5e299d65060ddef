"""`tidal demo --cluster`, its last rows, with a nats-server: killed, promoted, gone on with, compared."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from natskit import needs_nats
from waiting import until

import tidal
from tidal.cli import demo
from tidal.cli.demo_cluster import ClusterOutcome, ClusterStory
from tidal.cli.main import main
from tidal.cli.tables import WIDTH
from tidal.demo.cluster import server
from tidal.demo.cluster.agreement import compare_stores
from tidal.demo.cluster.nodes import Nodes
from tidal.demo.history import fill
from tidal.demo.retail import ROWS, OrderLines, join, read_order_lines, retail_schema
from tidal.errors import TidalError, TransportError

SMALL = 12_000


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClusterOutcome, str, Path]:
    folder = tmp_path_factory.mktemp("demo") / "cluster"
    out = io.StringIO()
    return ClusterStory(folder, SMALL, out).tell(), out.getvalue(), folder


@needs_nats
def test_nothing_acknowledged_is_lost_and_all_are_equal(told: tuple[ClusterOutcome, str, Path]) -> None:
    outcome, text, folder = told
    assert outcome.good and outcome.equal and not outcome.lost
    assert SMALL // 2 <= outcome.acknowledged_before_kill <= outcome.promoted_at <= outcome.events == SMALL
    assert outcome.promoted in ("b", "c") and outcome.epoch == 2
    assert "Equal, every number and byte for byte" in text
    digests = set()
    for name in ("a", "b", "c"):
        follows = (folder / name / "following.json").exists()
        assert follows == (name != outcome.promoted)
        with tidal.open(folder / name, read_only=True, clock="event") as db:
            assert db.last_seq == SMALL
            digests.add(db.state_digest())
    assert len(digests) == 1
    assert {state["digest"] for state in outcome.agreement["states"].values()} == {digests.pop().hex()}


@needs_nats
def test_the_story_fits_a_terminal_and_says_who_was_how_far(told: tuple[ClusterOutcome, str, Path]) -> None:
    outcome, text, folder = told
    steps = [line[:2] for line in text.splitlines() if line[:1].isdigit() and line[1] == "."]
    assert steps == ["1.", "2.", "3.", "4."]
    assert f"  tidal promote {folder / outcome.promoted} --nats nats://127.0.0.1:" in text
    assert f"a killed: {outcome.acknowledged_before_kill:,}" in text
    assert f"{outcome.promoted} leads: {SMALL:,}" in text
    assert all(len(line) <= WIDTH for line in text.splitlines() if str(folder) not in line)


@needs_nats
def test_whatever_was_started_is_ended_when_it_is_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tidal.cli", "demo", "--cluster", "--dir", str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        until(lambda: (tmp_path / "out" / "cluster" / "c" / "wal").exists())
        assert len(processes_of(tmp_path)) >= 4  # itself, nats-server, the leader, a follower
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert processes_of(tmp_path) == []
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
    finally:
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in path.read_bytes():
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@needs_nats
def test_a_node_that_fails_ends_the_demo(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Nodes(tmp_path, tmp_path, lambda: None) as nodes:
        leader = nodes.lead("a", ["b"], 0)
        with pytest.raises(TidalError, match=r"(?s)node a ended with exit code 1: .*CorruptStore"):
            nodes.wait_until(lambda: leader.epoch > 0)


def test_without_a_server_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "find_nats_server", lambda: None)
    assert main(["demo", "--cluster", "--dir", str(tmp_path)]) == 1
    assert "apt-get install nats-server" in capsys.readouterr().err


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho what is this >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(server, "find_nats_server", lambda: str(program))
    with pytest.raises(TransportError, match="what is this"):
        server.NatsServer(tmp_path)


# ------------------------------------------------------------------------------------ the verdict


@pytest.fixture(scope="module")
def lines() -> OrderLines:
    return join(list(read_order_lines(batch_rows=3000, skip_rows=ROWS - 3000)))


@pytest.fixture
def stores(tmp_path: Path, lines: OrderLines) -> Iterator[dict[str, Path]]:
    """Two stores with the rows; in the second they came otherwise cut."""
    paths = {"b": tmp_path / "b", "c": tmp_path / "c"}
    for name, step in (("b", 3000), ("c", 700)):
        with tidal.open(paths[name], schema=retail_schema(), clock="event") as db:
            for start in range(0, len(lines), step):
                fill(db, lines, start, min(start + step, len(lines)))
    yield paths


def test_equal_stores_are_equal(stores: dict[str, Path], lines: OrderLines) -> None:
    found = compare_stores(stores, lines)
    assert found.equal
    assert all(set(answer.values) == {"replay", "b", "c"} for answer in found.answers)
    assert {len(set(answer.values.values())) for answer in found.answers} == {1}
    count = next(it for it in found.answers if it.measure == "purchase.count.7d")
    assert count.values["replay"] == int(
        ((lines.product == count.product) & (lines.signal == "purchase")).sum()
    )


def test_one_event_more_or_another_one_is_seen(stores: dict[str, Path], lines: OrderLines) -> None:
    with tidal.open(stores["c"], clock="event") as db:
        db.signal("purchase", "22197", timestamp=int(lines.timestamp[-1]))
    found = compare_stores(stores, lines)
    assert not found.equal
    assert found.states["b"].differing == 0 and found.states["c"].differing > 0
    assert found.states["c"].events == found.states["b"].events + 1


@pytest.mark.parametrize(
    ("outcome", "good"),
    [
        (ClusterOutcome("x", acknowledged_before_kill=5, promoted_at=5, equal=True), True),
        (ClusterOutcome("x", acknowledged_before_kill=6, promoted_at=5, equal=True), False),
        (ClusterOutcome("x", acknowledged_before_kill=5, promoted_at=5, equal=False), False),
    ],
)
def test_the_exit_code_is_the_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: ClusterOutcome,
    good: bool,
) -> None:
    monkeypatch.setattr(demo.ClusterStory, "tell", lambda self: outcome)
    assert main(["demo", "--cluster", "--dir", str(tmp_path), "--format", "json"]) == (0 if good else 1)
    assert json.loads(capsys.readouterr().out)["good"] is good
