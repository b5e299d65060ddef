"""Where a command's answers and errors go: text for people, or one JSON document for programs."""

from __future__ import annotations

import argparse
import itertools
import json
from typing import Any, Final, TextIO

FORMATS: Final = ("text", "json")


def add_format_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="text for people (default), or json: one document on stdout, errors as an object on stderr",
    )


def asked_for_json(argv: list[str]) -> bool:
    """Return whether ``--format json`` stands in a command line that could not be parsed."""
    return "--format=json" in argv or ("--format", "json") in itertools.pairwise(argv)


def write_json(out: TextIO, document: Any) -> None:
    """Write one JSON document and a line end. Not-a-number never gets in: it would not be JSON."""
    escaped = (getattr(out, "encoding", None) or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8")
    json.dump(document, out, indent=2, ensure_ascii=escaped, allow_nan=False)
    out.write("\n")


def write_error(err: TextIO, command: str, kind: str, message: str, *, as_json: bool) -> None:
    """Write one error as one line, or as {"error": {"command", "type", "message"}}."""
    if as_json:
        json.dump({"error": {"command": command, "type": kind, "message": message}}, err)
        err.write("\n")
    else:
        err.write(f"{command}: {' '.join(message.split())}\n")
