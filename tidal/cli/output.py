"""Where a command's answers and errors go: text for people, or one JSON document for programs."""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from typing import Any, Final, TextIO

FORMATS: Final = ("text", "json")


def add_format_option(parser: argparse.ArgumentParser, default: str = FORMATS[0]) -> None:
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=default,
        help="text for people, or json: one document on stdout, errors as an object on stderr; "
        f"{default} if left out",
    )


def asked_format(argv: list[str], default: str) -> str:
    """Return which ``--format`` stands in a command line that could not be parsed."""
    asked = (name for name in FORMATS if f"--format={name}" in argv or ("--format", name) in pairwise(argv))
    return next(asked, default)


def write_json(out: TextIO, document: Any, *, pretty: bool = True) -> None:
    """Write one JSON document and a line end. Not-a-number never gets in: it would not be JSON."""
    escaped = (getattr(out, "encoding", None) or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8")
    json.dump(document, out, indent=2 if pretty else None, ensure_ascii=escaped, allow_nan=False)
    out.write("\n")


def write_error(err: TextIO, command: str, kind: str, message: str, *, as_json: bool) -> None:
    """Write one error as one line, or as {"error": {"command", "type", "message"}}."""
    if as_json:
        json.dump({"error": {"command": command, "type": kind, "message": message}}, err)
        err.write("\n")
    else:
        err.write(f"{command}: {' '.join(message.split())}\n")
