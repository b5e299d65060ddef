"""`tidal archive`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.opening import Wiring
from tidal.opening import arguments as opening_arguments

Command = Callable[..., Any]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are opened with segments of one batch each."""
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(segment_bytes=1))


@pytest.fixture
def busy(shop: Path, small_segments: None) -> Path:
    """A shop whose log has segments below its older checkpoint."""
    with tidal.open(shop) as db:
        for _ in range(3):
            for item in range(2):
                db.signal("purchase", item)
            db.checkpoint()
    return shop


def test_what_it_did(busy: Path, tidal_command: Command) -> None:
    before = sorted(path.name for path in (busy / "wal").glob("*.seg"))
    answer = tidal_command("archive", busy, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    files = sorted((busy / "archive").glob("*.arc"))
    after = sorted(path.name for path in (busy / "wal").glob("*.seg"))
    assert answer.json["archived"]["files"] == len(files) > 0
    assert len(before) - len(after) > 3
    assert answer.json["archived"]["bytes"] == sum(path.stat().st_size for path in files)
    assert answer.json["held_by"] == "checkpoint"
    assert answer.json["disk_usage"]["archive"] == sum(
        path.stat().st_size for path in (busy / "archive").iterdir()
    )
    with tidal.open(busy, read_only=True) as db:
        assert db.count("purchase", 1, "all") == 3


def test_text(busy: Path, tidal_command: Command) -> None:
    answer = tidal_command("archive", busy)
    assert answer.code == 0
    assert answer.out.startswith("archived ")
    assert "the older checkpoint needs it" in answer.out
    assert "archive" in answer.out.split("on disk")[1]
    assert tidal_command("archive", busy).out.startswith("nothing to archive")


def test_a_log_that_no_two_checkpoints_cover_stays(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command("archive", shop)
    assert answer.code == 0
    assert "nothing to archive\nthe log keeps all it has" in answer.out


def test_marks_and_retention(busy: Path, tidal_command: Command) -> None:
    with tidal.open(busy) as db:
        db.marks.set("follower", 1)
    assert "the mark 'follower' needs it" in tidal_command("archive", busy).out
    with tidal.open(busy) as db:
        db.marks.remove("follower")
    answer = tidal_command("archive", busy, "--retain", "1B")
    assert "removed by --retain: " in answer.out
    assert list((busy / "archive").glob("*.arc")) == []


def test_what_is_refused(busy: Path, tidal_command: Command, tmp_path: Path) -> None:
    answer = tidal_command("archive", busy, "--retain", "long", "--format", "json")
    assert (answer.code, answer.error["type"]) == (2, "InvalidRetention")
    answer = tidal_command("archive", tmp_path / "none")
    assert answer.code == 3 and "there is nothing to archive" in answer.err
    with tidal.open(busy):
        answer = tidal_command("archive", busy, "--format", "json")
        assert (answer.code, answer.error["type"]) == (1, "StoreLocked")
