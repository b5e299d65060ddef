"""tidalctl as a whole: JSON unless text is asked for, errors as an object, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidal.cli.ctl.exit_codes import ExitCode
from tidal.cli.ctl.main import build_parser, exit_code
from tidal.errors import StorageError, StoreMissing, UsageError

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UsageError("x"), ExitCode.USAGE),
        (StoreMissing("x"), ExitCode.NOT_FOUND),
        (StorageError("x"), ExitCode.UNREADABLE),
        (PermissionError("x"), ExitCode.UNREADABLE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_each_error_has_an_exit_code(error: BaseException, expected: ExitCode) -> None:
    assert exit_code(error) is expected


def test_errors_are_an_object_unless_text_is_asked_for(tidalctl: Command, tmp_path: Path) -> None:
    answer = tidalctl("verify", tmp_path / "nothing")
    assert (answer.code, answer.out, answer.error["type"]) == (3, "", "StoreMissing")
    assert answer.error["command"] == "tidalctl verify"
    answer = tidalctl("verify", tmp_path / "nothing", "--format", "text")
    assert answer.code == 3 and answer.err.startswith("tidalctl verify: ") and answer.err.count("\n") == 1
    assert tidalctl("fly").error["type"] == "UsageError"
    assert tidalctl("fly", "--format=text").err.startswith("tidalctl: ")


def test_help_names_commands_and_exit_codes() -> None:
    text = build_parser().format_help()
    assert all(word in text for word in ("verify", "dump", "1 damage", "4 unreadable"))


def test_it_is_a_module_too(store: Path) -> None:
    run = [sys.executable, "-m", "tidal.cli.ctl", "verify", str(store), "--format", "text"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("good: ") and done.stderr == ""
