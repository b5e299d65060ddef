"""`tidal replay` and `tidal merge`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replaykit import flip
from worn import make_store

import tidal

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("replay") / "store", rounds=3)


def test_a_store(made: Path, tidal_command: Command) -> None:
    answer = tidal_command("replay", made)
    lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert lines[0] == f"180 events of {made}, as of 2023-11-14 22:16:19 UTC"
    assert lines[1].endswith("events 1 to 180")
    assert "view" in answer.out and "item" in answer.out
    document = tidal_command("replay", made, "--format", "json").json
    assert (document["events"], document["covered"][0][1:], document["left_out"]) == (180, [1, 180], [])
    with tidal.open(made, read_only=True, clock="event") as db:
        best = [[it["entity"], it["score"]] for it in document["signals"]["view"]["top"]]
        assert best == [list(pair) for pair in db.top("view", 5)]
    assert document["signals"]["view"]["entities"] == 25


def test_choices(made: Path, tidal_command: Command) -> None:
    document = tidal_command(
        "replay", made, "--until", "2023-11-14 22:14:19", "--signal", "view", "--at", "2023-11-15",
        "--half-life", "view=1h", "--format", "json",
    ).json  # fmt: skip
    found = tidal.replay(made, until=1_700_000_059 * 10**9, signals=["view"])
    assert (document["events"], document["at"]) == (found.events, "2023-11-15T00:00:00.000000000Z")
    assert list(document["signals"]) == ["view"]
    assert document["signals"]["view"]["top"][0]["score"] < 1


def test_it_is_saved(made: Path, tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command("replay", made, "--to", tmp_path / "new", "--windows", "view=7d")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, f"written: {tmp_path / 'new'}")
    with tidal.open(tmp_path / "new", read_only=True) as db:
        assert db.schema.signal("view").windows == ("7d",)
        assert db.count("view", "item3", "all") > 0


def test_parts_of_several_runs(made: Path, tmp_path: Path, tidal_command: Command) -> None:
    files = [tmp_path / f"part-{number}" for number in (1, 2, 3)]
    for number, path in enumerate(files, start=1):
        assert tidal_command("replay", made, "--shard", f"{number}/3", "--out", path).code == 0
    document = tidal_command("merge", *files, "--to", tmp_path / "new", "--format", "json").json
    assert (document["events"], document["written"]) == (180, str(tmp_path / "new"))
    assert tidal_command("merge", *files).out.startswith("180 events of 3 parts")
    assert tidal_command("merge", files[0], files[2]).code == 1
    with tidal.open(tmp_path / "new", read_only=True, clock="event") as db:
        whole = tidal.replay(made)
        assert db.top("view", 9, by="count.all").keys == whole.top("view", 9, by="count.all").keys


def test_processes_and_scratch(made: Path, tmp_path: Path, tidal_command: Command) -> None:
    scratch = tmp_path / "scratch"
    for options in ((), ("--resume",)):
        answer = tidal_command("replay", made, "--processes", 1, "--scratch", scratch, *options)
        assert (answer.code, answer.out.splitlines()[0][:10]) == (0, "180 events")
    assert list(scratch.iterdir()) == []


def test_damage(made: Path, tmp_path: Path, tidal_command: Command) -> None:
    store = make_store(tmp_path / "store", rounds=6)
    path = sorted((store / "archive").glob("*.arc"))[1]
    flip(path, -1)
    answer = tidal_command("replay", store)
    assert (answer.code, path.name in answer.err) == (1, True)
    answer = tidal_command("replay", store, "--on-damage", "skip")
    assert answer.code == 5
    assert f"left out: events 61 to 120 of {path.name}" in answer.out
    path.unlink()
    assert tidal_command("replay", store).code == 1


def test_compare(made: Path, tidal_command: Command) -> None:
    answer = tidal_command("replay", "--compare", made)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "75 records, 180 events up to 180: the live state is what they add up to\n"
    document = tidal_command("replay", "--compare", made, "--format", "json").json
    assert (document["records"], document["differences"]) == (75, [])


def test_compare_names_what_differs(
    made: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (
        tidal.Difference("view", 7, None, "view.count.1h", 3, 4),
        tidal.Difference("view", 9, "item9", "view.score", 1.5, None),
        tidal.Difference("view", 9, "item9", "last_time", 1, None),
    )
    monkeypatch.setattr("tidal.cli.replay.compare", lambda *_, **__: tidal.Comparison(75, 180, 180, 0, wrong))
    answer = tidal_command("replay", "--compare", made)
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "75 records, 180 events up to 180: 2 records differ",
        "  view 7 view.count.1h: live 3, replayed 4",
        "  view item9 view.score: live 1.5, replayed None",
        "  view item9 last_time: live 1, replayed None",
    ]
    document = tidal_command("replay", "--compare", made, "--format", "json").json
    assert document["differences"][0] == {
        "signal": "view", "entity_id": 7, "key": None, "measure": "view.count.1h", "live": 3, "replayed": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 2),
        (("--compare", "x", "y"), 2),
        (("x", "--shard", "1/2"), 2),
        (("x", "--out", "y"), 2),
        (("{store}", "--shard", "two", "--out", "y"), 2),
        (("{store}", "--shard", "3/2", "--out", "y"), 2),
        (("{store}", "--resume"), 2),
        (("{store}", "--processes", "0"), 2),
        (("{store}", "--until", "soon"), 2),
        (("{store}", "--signal", "hate"), 3),
        (("{store}", "--half-life", "hate=1d"), 3),
        (("nowhere-at-all",), 3),
    ],
)
def test_usage(made: Path, tidal_command: Command, options: tuple[str, ...], code: int) -> None:
    given = [str(made) if option == "{store}" else option for option in options]
    assert tidal_command("replay", *given).code == code
