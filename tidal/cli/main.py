"""`tidal`: reads the command line, runs one command, turns what it raises into a line and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from tidal.cli import demo, get, load, top
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import asked_for_json, write_error
from tidal.errors import SchemaError, TidalError, UnknownSignalType, UsageError

COMMANDS: Final = (demo, load, top, get)

_EPILOG: Final = "exit codes: " + ", ".join(
    f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode
)


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, so that errors take one form."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="tidal",
        description="Live decayed scores, window counts and top-k from engagement events.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    nowhere = io.StringIO()  # for a stream that the caller closed, which is None
    out, err = sys.stdout or nowhere, sys.stderr or nowhere
    command, as_json = "tidal", asked_for_json(arguments)
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a name still shows the rest
    try:
        args = build_parser().parse_args(arguments)
        command, as_json = f"tidal {args.command}", args.format == "json"
        code: int = args.run(args, out, err)
        out.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return ExitCode.OK
    except KeyboardInterrupt as interrupt:
        write_error(err, command, "Interrupted", _message("stopped", interrupt), as_json=as_json)
        return ExitCode.INTERRUPTED
    except (TidalError, OSError) as error:
        write_error(err, command, type(error).__name__, _message(str(error), error), as_json=as_json)
        return exit_code(error)
    return code


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code that an error stands for."""
    match error:
        case FileNotFoundError() | UnknownSignalType():
            return ExitCode.NOT_FOUND
        case UsageError() | SchemaError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED


def _message(text: str, error: BaseException) -> str:
    notes: Any = getattr(error, "__notes__", ())
    return "; ".join((text, *notes))
