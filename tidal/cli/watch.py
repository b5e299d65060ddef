"""`tidal watch STORE_OR_URL`: a store or a service, as it goes on."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.frame import Style, frame
from tidal.cli.output import add_format_option
from tidal.cli.screen import Screen, in_colour
from tidal.cli.store import has_store, open_to_read
from tidal.cli.tables import WIDTH
from tidal.db import TidalDb
from tidal.errors import StoreMissing, UnreachableService, UsageError
from tidal.page import Snapshots

TOKEN_VARIABLE: Final = "TIDAL_TOKEN"
INTERVAL_MIN: Final = 0.1


class Source(Protocol):
    """What is watched."""

    def take(self) -> dict[str, Any]:
        """Return a snapshot of now."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "watch",
        help="show a store or a service as it goes on",
        description="Show how a store goes on: events a second, the best entities and how they move, log, "
        "checkpoint, disk, followers, health. A store is read while another process writes it; a URL is "
        "that of `tidal serve` or of a metrics port. On a terminal the view is drawn over until Ctrl-C, "
        "elsewhere lines are written. A token for a service comes from --token or from the environment "
        f"variable {TOKEN_VARIABLE}.",
    )
    parser.add_argument(
        "target", metavar="STORE_OR_URL", help="the store's directory, or http(s)://HOST:PORT"
    )
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--signal", metavar="SIGNAL", help="whose best entities to show (default: the first)")
    parser.add_argument(
        "--by", action="append", default=[], metavar="MEASURE", help="ranked by what; repeatable, up to four"
    )
    parser.add_argument("--once", action="store_true", help="show the state after one interval, and end")
    parser.add_argument("--token", type=Path, metavar="FILE", help="file with the token alone, mode 0600")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if not INTERVAL_MIN <= args.interval <= 86_400:
        raise UsageError(f"--interval {args.interval}: choose seconds from {INTERVAL_MIN} on")
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_source(args))
        source.take()  # what cannot be watched is said now, and rates are of two looks
        try:
            if args.once or args.format == "json" or not out.isatty():
                _write(source, args, out)
            else:
                _draw(source, args, out)
        except KeyboardInterrupt:
            pass  # the way to end it
    return ExitCode.OK


def _write(source: Source, args: argparse.Namespace, out: TextIO) -> None:
    style = Style(width=WIDTH, ascii_only=not _has_blocks(out))
    while True:
        time.sleep(args.interval)
        now = source.take()
        if args.format == "json":
            out.write(json.dumps(now) + "\n")
        else:
            out.writelines(line + "\n" for line in frame(now, style))
        out.flush()
        if args.once:
            return
        if args.format != "json":
            out.write("\n")


def _draw(source: Source, args: argparse.Namespace, out: TextIO) -> None:
    colour, ascii_only = in_colour(out, os.environ), not _has_blocks(out)
    now, lost = source.take(), None
    with Screen(out) as screen:
        while True:
            width, height = screen.size
            screen.draw(frame(now, Style(width, height, colour, ascii_only), lost=lost))
            time.sleep(args.interval)
            try:
                now, lost = source.take(), None
            except UnreachableService as error:
                lost = lost or f"not reachable since {time.strftime('%H:%M:%S')}: {error}"


def _has_blocks(out: TextIO) -> bool:
    return (getattr(out, "encoding", None) or "").lower().replace("-", "") == "utf8"


# ------------------------------------------------------------------------------------ what is watched


@contextlib.contextmanager
def _source(args: argparse.Namespace) -> Iterator[Source]:
    if args.target.startswith(("http://", "https://")):
        service = importlib.import_module("tidal.cli.service")
        token = service.token(args.token, os.environ, TOKEN_VARIABLE)
        yield service.Service(args.target, token, args.signal, args.by, TOKEN_VARIABLE)
        return
    path = Path(args.target)
    if not has_store(path):
        raise StoreMissing(f"{path} is not a store, and no URL, which begins with http:// or https://")
    with open_to_read(path) as db:
        yield _Store(db, args.signal, args.by)


class _Store:
    """A store that another process may be writing."""

    def __init__(self, db: TidalDb, signal: str | None, by: list[str]) -> None:
        self._db, self._signal, self._by = db, signal, by
        self._snapshots = Snapshots(db)

    def take(self) -> dict[str, Any]:
        self._db.refresh()
        return self._snapshots.take(self._signal, self._by)
