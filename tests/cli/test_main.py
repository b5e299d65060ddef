"""The command line as a whole: exit codes, the form of errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.cli.exit_codes import ExitCode
from tidal.cli.main import build_parser, exit_code, main
from tidal.errors import (
    SchemaMismatch,
    StoreLocked,
    StoreMissing,
    TidalError,
    UnknownMeasure,
    UnknownSignalType,
    UsageError,
)

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UsageError("x"), ExitCode.USAGE),
        (UnknownMeasure("x"), ExitCode.USAGE),
        (SchemaMismatch(["x"]), ExitCode.USAGE),
        (UnknownSignalType("a", ["b"]), ExitCode.NOT_FOUND),
        (StoreMissing("x"), ExitCode.NOT_FOUND),
        (FileNotFoundError("x"), ExitCode.NOT_FOUND),
        (StoreLocked("x"), ExitCode.FAILED),
        (PermissionError("x"), ExitCode.FAILED),
        (TidalError("x"), ExitCode.FAILED),
    ],
)
def test_each_error_has_an_exit_code(error: Exception, expected: ExitCode) -> None:
    assert exit_code(error) is expected


def test_usage_errors_are_one_line_or_one_object(tidal_command: Command) -> None:
    answer = tidal_command("top")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("tidal: ") and answer.err.count("\n") == 1
    answer = tidal_command("top", "--format", "json")
    assert answer.code == 2
    assert answer.error["type"] == "UsageError"
    assert tidal_command("fly").code == 2
    assert tidal_command().code == 2


def test_help_names_the_commands_and_exit_codes() -> None:
    text = build_parser().format_help()
    assert all(command in text for command in ("demo", "load", "top", "get"))
    assert all(str(int(code)) in text for code in ExitCode)


def test_it_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tidal.cli", "top", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: tidal top")


def test_a_reader_that_has_seen_enough_is_no_error(shop: Path) -> None:
    command = [sys.executable, "-m", "tidal.cli", "top", "purchase", "--db", str(shop)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0


def test_json_is_whole_where_the_terminal_knows_no_more_than_ascii(shop: Path) -> None:
    with tidal.open(shop) as db:
        db.signal("purchase", "caf\u00e9", 99.0)
    command = [sys.executable, "-m", "tidal.cli", "top", "purchase", "--db", str(shop), "--format", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert json.loads(done.stdout)["entities"][0]["key"] == "caf\u00e9"


def test_a_closed_output_is_no_crash(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["top", "purchase", "--db", str(shop)]) == 0
    assert main(["top", "nothing", "--db", str(shop)]) == 3


def test_more_than_there_are_is_all(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command("top", "purchase", "--db", shop, "-k", 10**30, "--format", "json")
    assert len(answer.json["entities"]) == 2
