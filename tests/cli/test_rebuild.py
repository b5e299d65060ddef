"""`tidal rebuild`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worn import make_store

import tidal

Command = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store", rounds=3)


def schema_of(path: Path) -> tidal.Schema:
    with tidal.open(path, read_only=True) as db:
        return db.schema


def test_options_change_single_types(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command(
        "rebuild", store, tmp_path / "new", "--half-life", "view=3d,30d", "--windows", "view=1h",
        "--velocity", "view=no", "--half-life", "like=none", "--declare", "share half_life=1d windows=24h",
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"{tmp_path / 'new'}: 180 events, 60 names and metadata",
        "  every event has the sequence that it had",
    ]
    schema, before = schema_of(tmp_path / "new"), schema_of(store)
    assert schema.names == ("view", "like", "follow", "share")
    view = schema.signal("view")
    assert (len(view.half_lives), view.windows, view.velocity) == (2, ("1h",), False)
    assert (schema.signal("like").half_lives, schema.signal("like").signed) == ((), True)
    assert schema.signal("follow") == before.signal("follow")


def test_types_are_left_out(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command("rebuild", store, tmp_path / "new", "--drop", "like")
    assert "  left out: 60 events of like\n" in answer.out
    assert "  sequences are new: the events 1 to 180 became 1 to 120\n" in answer.out
    report = tidal_command("rebuild", store, tmp_path / "newer", "--drop", "like", "--format", "json").json
    assert (report["events"], report["dropped"], report["same_sequences"]) == (120, {"like": 60}, False)


def test_a_whole_schema_from_a_file(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    signals = [{"name": "view"}, {"name": "like", "signed": True}, {"name": "follow", "kind": "creator"}]
    (tmp_path / "schema.json").write_text(json.dumps({"signals": signals}))
    given = ("rebuild", store, tmp_path / "new", "--schema", tmp_path / "schema.json")
    assert tidal_command(*given, "--half-life", "view=3d").code == 2
    assert tidal_command(*given).code == 0
    assert schema_of(tmp_path / "new").signal("view").half_lives == ()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--half-life", "view"), 2),
        (("--half-life", "view=soon"), 2),
        (("--velocity", "view=maybe"), 2),
        (("--windows", "view=none"), 2),  # it has a velocity
        (("--half-life", "hate=3d"), 3),
        (("--drop", "hate"), 3),
        (("--drop", "like", "--half-life", "like=3d"), 2),
    ],
)
def test_usage(
    store: Path, tmp_path: Path, tidal_command: Command, options: tuple[str, ...], code: int
) -> None:
    assert tidal_command("rebuild", store, tmp_path / "new", *options).code == code
    assert not (tmp_path / "new").exists()


def test_what_is_no_store(tmp_path: Path, tidal_command: Command) -> None:
    assert tidal_command("rebuild", tmp_path / "nothing", tmp_path / "new").code == 3


def test_a_history_without_its_beginning(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    with tidal.open(store, clock="event", retain=1) as db:
        db.marks.remove("follower")
        db.archive()
    answer = tidal_command("rebuild", store, tmp_path / "new", "--format", "json")
    assert (answer.code, answer.error["type"]) == (1, "MissingSegment")
    assert "--partial" in answer.error["message"]
    assert tidal_command("rebuild", store, tmp_path / "new", "--partial").code == 0


def test_an_interrupted_one_goes_on(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    def stop(events: int, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tidal.rebuild(store, tmp_path / "new", schema=schema_of(store), progress=stop)
    assert tidal_command("rebuild", store, tmp_path / "new").code == 2
    answer = tidal_command("rebuild", store, tmp_path / "new", "--resume")
    assert (answer.code, answer.out.splitlines()[0]) == (
        0, f"{tmp_path / 'new'}: 180 events, 60 names and metadata",
    )  # fmt: skip
