"""`tidalctl`: what an operator asks of the files of a store. JSON unless text is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidal.cli.ctl import diagnostics, doctor, dump, paths, status, verify
from tidal.cli.ctl.exit_codes import ExitCode
from tidal.cli.program import Parser, build_program, run_program
from tidal.errors import SchemaError, UsageError

COMMANDS: Final = (status, paths, verify, dump, diagnostics, doctor)


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    what = "Look at the files of a tidal store. Nothing is ever written, and no lock is taken."
    return build_program("tidalctl", what, COMMANDS, ExitCode)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return run_program(build_parser(), argv, exit_code, default_format="json")


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code that an error stands for."""
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case FileNotFoundError():
            return ExitCode.NOT_FOUND
        case UsageError() | SchemaError():
            return ExitCode.USAGE
        case _:
            return ExitCode.UNREADABLE
