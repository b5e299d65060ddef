"""`tidal`: what a user asks of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidal.cli import (
    archive,
    demo,
    export,
    follow,
    get,
    jobs,
    load,
    merge,
    promote,
    rebuild,
    replay,
    salvage,
    serve,
    sessions,
    top,
    watch,
)
from tidal.cli.exit_codes import ExitCode
from tidal.cli.program import Parser, build_program, run_program
from tidal.errors import (
    InvalidOption,
    InvalidRetention,
    SchemaError,
    UnknownDataset,
    UnknownJob,
    UnknownSignalType,
    UsageError,
)

COMMANDS: Final = (
    demo, load, top, get, export, archive, replay, merge, rebuild, salvage, serve, jobs, sessions, watch,
    follow, promote,
)  # fmt: skip


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    what = "Live decayed scores, window counts and top-k from engagement events."
    return build_program("tidal", what, COMMANDS, ExitCode)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return run_program(build_parser(), argv, exit_code, default_format="text")


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code that an error stands for."""
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case FileNotFoundError() | UnknownSignalType() | UnknownJob() | UnknownDataset():
            return ExitCode.NOT_FOUND
        case UsageError() | SchemaError() | InvalidOption() | InvalidRetention():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
