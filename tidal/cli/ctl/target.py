"""Which store a command is about, and what counts as now."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tidal.cli.store import time_option
from tidal.errors import UsageError


def add_target(parser: argparse.ArgumentParser, what: str = "a store") -> None:
    """Add PATH, which may also be written as --path PATH."""
    parser.add_argument("path", type=Path, nargs="?", metavar="PATH", help=what)
    parser.add_argument("--path", type=Path, metavar="PATH", dest="path_option", help="the same")


def target_of(args: argparse.Namespace) -> Path:
    """Return the path that was named, once; UsageError otherwise."""
    named: list[Path] = [path for path in (args.path, args.path_option) if path is not None]
    if len(named) != 1:
        raise UsageError(f"name one PATH, not {len(named)}; see tidalctl {args.command} --help")
    return named[0]


def add_now_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        metavar="TIME",
        help='what counts as now, "2026-11-21 12:50" (UTC); left out: the clock of this machine',
    )


def now_of(args: argparse.Namespace) -> int:
    """Return what counts as now, in ns."""
    at = time_option(args.at)
    return time.time_ns() if at is None else at
