"""`tidalctl paths PATH`: where each part of a store lies, and whether it is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.ctl.exit_codes import ExitCode
from tidal.cli.ctl.output import add_output_options
from tidal.cli.ctl.target import add_target, target_of
from tidal.cli.output import write_json
from tidal.cli.tables import format_cell
from tidal.durable import OsFileSystem
from tidal.store import StorePaths

DIRS: Final = ("base", "wal", "items", "users", "creators", "cache")
ALSO: Final = (
    "checkpoints", "archive", "exports", "quarantine",
    "entities", "identity", "schema", "origin", "following", "lock",
)  # fmt: skip


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "paths",
        help="show where each part of a store lies, and whether it is there",
        description="Show where each folder and file of a store lies, and whether it is there. It is no "
        "error if none is.",
    )
    add_target(parser, "the folder of a store")
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    layout = StorePaths(target_of(args).resolve())
    places = {name: getattr(layout, name) for name in (*DIRS, *ALSO)}
    fs = OsFileSystem()
    exists = {name: fs.exists(path) for name, path in places.items()}
    if args.format == "json":
        write_json(out, _document(layout, places, exists), pretty=args.pretty)
        return ExitCode.GOOD
    width = max(map(len, places))
    for name, path in places.items():
        out.write(f"{name:<{width}}  {'there ' if exists[name] else 'absent'}  {format_cell(str(path))}\n")
    return ExitCode.GOOD


def dirs_of(layout: StorePaths) -> dict[str, str]:
    """Return the six directories that every store has."""
    return {name: str(getattr(layout, name)) for name in DIRS}


def _document(layout: StorePaths, places: dict[str, Path], exists: dict[str, bool]) -> dict[str, Any]:
    # The directories twice: callers read them at the top, or under the name that status has for them.
    return {
        **{name: str(path) for name, path in places.items()},
        "dirs": dirs_of(layout),
        "exists": exists,
    }
