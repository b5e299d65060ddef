"""`tidalctl paths`: AC-4, all six directories and whether they are there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidal.cli.ctl.paths import ALSO, DIRS

Command = Callable[..., Any]


def test_the_layout_and_what_is_there(store: Path, tidalctl: Command) -> None:
    shutil.rmtree(store / "users")
    answer = tidalctl("paths", "--path", store)
    assert (answer.code, answer.err) == (0, "")
    paths = answer.json
    assert list(paths) == [*DIRS, *ALSO, "dirs", "exists"]
    assert {name: paths[name] for name in DIRS} == paths["dirs"]
    assert paths["base"] == str(store) and paths["creators"] == str(store / "creators")
    assert (paths["entities"], paths["lock"]) == (str(store / "entities.sqlite"), str(store / "LOCK"))
    assert paths["exists"] == {name: Path(paths[name]).exists() for name in (*DIRS, *ALSO)}
    gone = {name for name, there in paths["exists"].items() if not there}
    assert gone == {"users", "quarantine", "origin", "following"}


def test_a_store_that_is_not_there_has_a_layout_too(tmp_path: Path, tidalctl: Command) -> None:
    answer = tidalctl("paths", tmp_path / "none")
    assert answer.code == 0 and not any(answer.json["exists"].values())
    assert answer.json["wal"] == str(tmp_path / "none" / "wal")


def test_text(store: Path, tidalctl: Command) -> None:
    lines = tidalctl("paths", store, "--format", "text").out.splitlines()
    assert len(lines) == len((*DIRS, *ALSO))
    assert lines[0].split() == ["base", "there", str(store)]
    assert ["quarantine", "absent", str(store / "quarantine")] in [line.split() for line in lines]
