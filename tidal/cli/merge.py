"""`tidal merge PART...`: what several runs of `tidal replay --shard` made, as one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.replay import as_fields, in_words
from tidal.cli.store import time_option
from tidal.replay import merge


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "merge",
        help="add up the parts that tidal replay --shard wrote",
        description="Add up the parts that runs of tidal replay --shard I/N wrote, on one machine or many: "
        "all parts of one history, or those of several stores. Show the best entities, or save the state "
        "as a store (--to).",
    )
    parser.add_argument("parts", nargs="+", type=Path, metavar="PART", help="a file that --out named")
    parser.add_argument("--to", type=Path, metavar="DIR", help="save the state as a new store")
    parser.add_argument("--at", metavar="TIME", help="read as of a time; left out: that of the newest event")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    found = merge(args.parts, at=time_option(args.at))
    if args.to is not None:
        found.save(args.to)
    if args.format == "json":
        write_json(out, {**as_fields(found), "written": None if args.to is None else str(args.to)})
    else:
        out.write(in_words(found) + (f"written: {args.to}\n" if args.to else ""))
    return ExitCode.INCOMPLETE if found.left_out else ExitCode.OK
