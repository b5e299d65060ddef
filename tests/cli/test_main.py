"""The command line as a whole: exit codes, the form of errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidal.cli.exit_codes import ExitCode
from tidal.cli.main import build_parser, exit_code
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
