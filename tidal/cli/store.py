"""How commands open a store, and how they read entities and times from a command line."""

from __future__ import annotations

import argparse
import errno
from pathlib import Path
from typing import Any, Final

import tidal
from tidal.cli.times import parse_time

SCHEMA_FILE: Final = "schema.json"


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--db", type=Path, required=True, metavar="DIR", help="the store's directory")


def add_time_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        metavar="TIME",
        help='read as of this time: "2011-12-09 12:50" (UTC) or "now"; the time of the latest event if left out',
    )


def has_store(path: Path) -> bool:
    return (path / SCHEMA_FILE).exists()


def open_to_read(path: Path) -> Any:
    """Return the store, opened without the right to change a byte. Raises FileNotFoundError."""
    if not has_store(path):
        raise FileNotFoundError(errno.ENOENT, "there is no store here; make one with tidal load", str(path))
    return tidal.open(path, clock="event", read_only=True)
