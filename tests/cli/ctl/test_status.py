"""`tidalctl status`: the seed's fields, and its acceptance criteria AC-1, AC-2, AC-3 and AC-5."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worn import SCHEMA, files_of

import tidal
from tidal.build import build_hash

Command = Callable[..., Any]
WAL = ["segments", "first_seq", "last_segment_seq", "last_seq", "checkpoint_seq", "checkpoint_ts",
       "wal_dir_bytes", "clean"]  # fmt: skip
DIRS = ["base", "wal", "items", "users", "creators", "cache"]


@pytest.mark.parametrize("named", [(), ("--path",)], ids=["PATH", "--path"])
def test_the_fields(store: Path, tidalctl: Command, named: tuple[str, ...]) -> None:
    answer = tidalctl("status", *named, store)
    assert (answer.code, answer.err) == (0, "")
    status = answer.json
    assert list(status) == [
        "version", "build_hash", "status", "storage_mode", "store_id", "first_seq", "last_seq", "writer_pid",
        "wal", "dirs", "findings",
    ]  # fmt: skip
    assert (status["version"], status["build_hash"]) == (tidal.__version__, build_hash())
    assert (status["status"], status["storage_mode"], status["findings"]) == ("ok", "persistent", [])
    assert status["store_id"] == json.loads((store / "store.json").read_text())["store_id"]
    assert (status["first_seq"], status["last_seq"], status["writer_pid"]) == (1, 360, None)
    wal = status["wal"]
    assert list(wal) == WAL
    assert [wal[name] for name in WAL[:5]] == [2, 241, 301, 360, 360]
    assert wal["wal_dir_bytes"] == sum(path.stat().st_size for path in (store / "wal").iterdir())
    assert wal["clean"] is True and wal["checkpoint_ts"].endswith("Z")
    assert status["dirs"] == {name: str(store if name == "base" else store / name) for name in DIRS}


def test_an_empty_folder(tmp_path: Path, tidalctl: Command) -> None:
    answer = tidalctl("status", "--path", tmp_path)
    assert (answer.code, answer.json["status"], answer.json["storage_mode"]) == (0, "empty", None)
    nothing = {name: 0 for name in WAL} | {"checkpoint_seq": None, "checkpoint_ts": None, "clean": None}
    assert answer.json["wal"] == nothing
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_an_event(tmp_path: Path, tidalctl: Command) -> None:
    tidal.open(tmp_path / "store", schema=SCHEMA).close()
    answer = tidalctl("status", tmp_path / "store")
    assert (answer.code, answer.json["status"], answer.json["storage_mode"]) == (0, "empty", "persistent")


def test_a_folder_that_is_missing(tmp_path: Path, tidalctl: Command) -> None:
    answer = tidalctl("status", "--path", tmp_path / "none")
    assert (answer.code, answer.out, answer.error["type"]) == (3, "", "StoreMissing")
    assert str(tmp_path / "none") in answer.error["message"]


def test_pretty_is_in_lines_and_compact_is_one(store: Path, tidalctl: Command) -> None:
    compact, pretty = tidalctl("status", store), tidalctl("status", store, "--pretty")
    assert compact.out.count("\n") == 1 and pretty.out.startswith('{\n  "version"')
    assert compact.json == pretty.json


def test_the_path_is_named_once(store: Path, tidalctl: Command) -> None:
    assert tidalctl("status").error["type"] == "UsageError"
    assert tidalctl("status", store, "--path", store).code == 2
    assert tidalctl("status", store / "store.json").code == 2


def test_a_damaged_store_is_an_error_and_says_why(store: Path, tidalctl: Command) -> None:
    (store / "archive" / "archive-00000000000000000061.arc").unlink()
    answer = tidalctl("status", store)
    assert (answer.code, answer.json["status"], answer.json["last_seq"]) == (1, "error", 360)
    assert [finding["code"] for finding in answer.json["findings"]] == ["archive-missing"]
    text = tidalctl("status", store, "--format", "text")
    assert text.code == 1 and "DAMAGE  archive/archive-00000000000000000061.arc" in text.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a store to another user")
def test_a_store_of_another_user_is_read_all_the_same(store: Path, tidalctl: Command) -> None:
    for path in (store, *store.rglob("*")):
        os.chown(path, 12345, 12345)
    for command in ("status", "verify", "diagnostics", "paths"):
        assert tidalctl(command, store).code == 0
    assert len(tidalctl("dump", store / "wal" / "manifest.json").json["segments"]) == 2
    os.chown(store / "schema.json", 54321, 54321)
    mixed = [finding for finding in tidalctl("doctor", store).json["findings"]]
    assert ("owner-mixed", "schema.json") in [(finding["code"], finding["file"]) for finding in mixed]


def test_text_fits_a_terminal(store: Path, tidalctl: Command) -> None:
    lines = tidalctl("status", store, "--format", "text").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[-1] for line in lines if line.startswith("status ")] == ["ok"]


def test_the_scenario_of_the_seed(tmp_path: Path, tidalctl: Command) -> None:
    """Steps 1 and 2: a home with a log of two events and a checkpoint at the second."""
    home = tmp_path / "home"
    with tidal.open(home, schema=SCHEMA, archive=False) as db:
        db.signal("view", 1)
        db.signal("view", 2)
        db.checkpoint()
    status = tidalctl("status", "--path", home).json
    assert status["wal"]["segments"] >= 1 and status["wal"]["checkpoint_seq"] == 2
    assert (status["status"], status["version"]) == ("ok", tidal.__version__)
    paths = tidalctl("paths", "--path", home).json
    assert (paths["dirs"]["wal"], paths["exists"]["wal"]) == (str(home / "wal"), True)


def test_no_byte_is_changed_by_any_command(store: Path, tidalctl: Command) -> None:
    before = files_of(store)
    for command in ("status", "paths", "diagnostics", "doctor", "verify"):
        tidalctl(command, store)
        tidalctl(command, store, "--format", "text")
    assert files_of(store) == before


def test_the_core_packages_are_enough(store: Path) -> None:
    """No package of an extra is imported, with the optional ones made impossible to import."""
    script = """
import sys
for name in ("rich", "pyarrow", "fastapi", "uvicorn", "pandas", "polars", "duckdb", "prometheus_client"):
    sys.modules[name] = None
from tidal.cli.ctl.main import main
codes = [main([command, sys.argv[1]]) for command in ("status", "paths", "diagnostics", "verify")]
raise SystemExit(max(codes))
"""
    done = subprocess.run([sys.executable, "-c", script, store], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 4
