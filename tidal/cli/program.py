"""A program of commands: runs one, and turns what it raises into a line and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NoReturn

from tidal import __version__
from tidal.build import build_hash
from tidal.cli.output import asked_format, write_error
from tidal.errors import TidalError, UsageError


class Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process, so that errors take one form."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def build_program(name: str, description: str, commands: Sequence[Any], codes: type[IntEnum]) -> Parser:
    """Return the parser of a program: each command is a module with ``add_parser``."""
    meanings = (f"{code.value} {code.name.lower().replace('_', ' ')}" for code in codes)
    epilog = f"exit codes: {', '.join(meanings)}"
    parser = Parser(prog=name, description=description, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"{name} {__version__} ({build_hash()})")
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in commands:
        module.add_parser(added)
    return parser


def run_program(
    parser: Parser,
    argv: Sequence[str] | None,
    exit_code: Callable[[BaseException], int],
    *,
    default_format: str,
) -> int:
    """Run one command; return its exit code. ``exit_code`` says which one an error stands for."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    nowhere = io.StringIO()  # for a stream that the caller closed, which is None
    out, err = sys.stdout or nowhere, sys.stderr or nowhere
    command, as_json = parser.prog, asked_format(arguments, default_format) == "json"
    for stream in (out, err):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a name still shows the rest
    try:
        args = parser.parse_args(arguments)
        command, as_json = f"{parser.prog} {args.command}", args.format == "json"
        code: int = args.run(args, out, err)
        out.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return 0
    except KeyboardInterrupt as interrupt:
        write_error(err, command, "Interrupted", _message("stopped", interrupt), as_json=as_json)
        return exit_code(interrupt)
    except (TidalError, OSError) as error:
        write_error(err, command, type(error).__name__, _message(str(error), error), as_json=as_json)
        return exit_code(error)
    return code


def _message(text: str, error: BaseException) -> str:
    notes: Any = getattr(error, "__notes__", ())
    return "; ".join((text, *notes))
