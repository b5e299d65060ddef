"""What every program of commands does, whichever it is."""

from __future__ import annotations

import argparse
from enum import IntEnum
from typing import Any, TextIO

import pytest

from tidal.cli.output import add_format_option, asked_format
from tidal.cli.program import build_program, run_program
from tidal.errors import TidalError


class Codes(IntEnum):
    FINE = 0
    NOT_FINE = 7


class Command:
    """A module with one command."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def add_parser(self, commands: Any) -> None:
        parser = commands.add_parser("do")
        add_format_option(parser, default="json")
        parser.set_defaults(run=self.run)

    def run(self, args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
        if self.error is not None:
            raise self.error
        out.write("done\n")
        return Codes.FINE


def run(command: Command, *argv: str) -> int:
    parser = build_program("prog", "what it is", [command], Codes)
    return run_program(parser, argv, lambda error: Codes.NOT_FINE, default_format="json")


def test_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Command(), "do") == 0
    assert capsys.readouterr() == ("done\n", "")


def test_errors_have_one_form_and_the_code_that_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    error = TidalError("it broke")
    error.add_note("a note")
    assert run(Command(error), "do") == 7
    assert capsys.readouterr().err == (
        '{"error": {"command": "prog do", "type": "TidalError", "message": "it broke; a note"}}\n'
    )
    assert run(Command(error), "do", "--format", "text") == 7
    assert capsys.readouterr().err == "prog do: it broke; a note\n"
    assert run(Command(KeyboardInterrupt()), "do", "--format", "text") == 7
    assert capsys.readouterr().err == "prog do: stopped\n"
    assert run(Command(), "fly") == 7
    assert '"command": "prog"' in capsys.readouterr().err


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run(Command(ZeroDivisionError()), "do")


def test_help_lists_the_exit_codes() -> None:
    assert "0 fine, 7 not fine" in build_program("prog", "what", [Command()], Codes).format_help()


def test_the_format_that_was_asked_for() -> None:
    assert asked_format(["x", "--format=text"], "json") == "text"
    assert asked_format(["x", "--format", "json"], "text") == "json"
    assert asked_format(["x"], "json") == "json"
