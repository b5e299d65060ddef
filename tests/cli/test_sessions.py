"""`tidal sessions`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.testing import ManualClock

Command = Callable[..., Any]


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """A store with a closed session of ann's and an open one of user 9."""
    schema = tidal.SchemaBuilder().signal("reward", signed=True).build()
    clock = ManualClock()
    with tidal.open(tmp_path / "talks", schema=schema, clock=clock) as db:
        with db.session(user_id="ann", agent="ranker\x1b[1m", policy="v1", session_id=1) as session:
            session.reward("post:1", -1)
        clock.advance("1h")
        db.session(user_id=9, agent="ranker", session_id=2**64 - 1)
    return tmp_path / "talks"


def test_all_of_them(talks: Path, tidal_command: Command) -> None:
    answer = tidal_command("sessions", talks)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].split() == ["session", "user", "agent", "opened", "state", "operations"]
    assert lines[2].split()[:2] == ["1", "ann"] and lines[2].endswith("  closed           3")
    assert lines[3].split()[0] == str(2**64 - 1)
    assert lines[-1] == "2 sessions, 1 of them open"
    assert "\x1b" not in answer.out and max(map(len, lines)) <= 80


def test_as_json_with_all_that_is_known(talks: Path, tidal_command: Command) -> None:
    (first, second) = tidal_command("sessions", talks, "--format", "json").json["sessions"]
    with tidal.open(talks, read_only=True) as db:
        want = db.sessions.get(1).to_dict()
    times = {"opened_at", "last_at", "closed_at"}
    assert {name: value for name, value in first.items() if name not in {*times, "user"}} == {
        name: value for name, value in want.items() if name not in times
    }
    assert (first["user"], first["opened_at"]) == ("ann", "2023-11-14T22:13:20.000000000Z")
    assert (second["id"], second["user"], second["closed_at"]) == (2**64 - 1, None, None)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--user", "ann"], [1]),
        (["--user", "9"], [2**64 - 1]),
        (["--user", "8"], []),
        (["--open"], [2**64 - 1]),
        (["--since", "2023-11-14 23:00"], [2**64 - 1]),
        (["--since", "2023-11-14 22:00", "--user", "ann"], [1]),
    ],
)
def test_some_of_them(talks: Path, tidal_command: Command, options: list[str], ids: list[int]) -> None:
    answer = tidal_command("sessions", talks, "--format", "json", *options)
    assert [each["id"] for each in answer.json["sessions"]] == ids


def test_a_user_that_nobody_is(talks: Path, tidal_command: Command) -> None:
    answer = tidal_command("sessions", talks, "--user", "bob")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("tidal sessions: no user 'bob' in ")
