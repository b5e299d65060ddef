"""`tidal rebuild SOURCE TARGET --half-life view=3d`: the same events under another schema, in a new store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.declare import EXAMPLE, changed_schema, schema_from_file
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.store import has_store
from tidal.durable import OsFileSystem
from tidal.errors import StoreMissing, UsageError
from tidal.rebuild import RebuildReport, rebuild
from tidal.schema import Schema
from tidal.store import StorePaths, load_store

_CHANGES: Final = (
    ("--half-life", "TYPE=LIST", "such as view=3d,30d, or view=none"),
    ("--windows", "TYPE=LIST", "such as view=1h,24h, or view=none"),
    ("--velocity", "TYPE=yes|no", "such as view=yes"),
    ("--drop", "TYPE", "leave out a type and its events"),
    ("--declare", "TEXT", f"a new type: '{EXAMPLE}'"),
)
_OF_A_TYPE: Final = ("half_life", "windows", "velocity")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "rebuild",
        help="make a new store with other half-lives, windows or signal types",
        description="Make a new store from the history of a store, with other half-lives, windows or signal "
        "types. Events, names and metadata are carried over. The source is only read: stop what writes to it "
        "before, then let it open the new one.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the store's directory")
    parser.add_argument("target", type=Path, metavar="TARGET", help="the new store's; it must not exist")
    schema = parser.add_argument_group("the new schema: the old one, but for")
    for flag, form, what in _CHANGES:
        schema.add_argument(flag, action="append", default=[], metavar=form, help=f"{what}; repeatable")
    schema.add_argument(
        "--schema", type=Path, metavar="FILE", help="all of it, as JSON, in place of the options above"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="go on though the beginning of the history is gone: scores and counts are of what is left",
    )
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    schema = _schema(args)
    with Progress(err, "events", enabled=args.format == "text") as progress:
        report = rebuild(
            args.source,
            args.target,
            schema=schema,
            drop=args.drop,
            partial=args.partial,
            progress=progress.update,
        )
    if args.format == "json":
        write_json(out, report.to_dict())
    else:
        out.write(_in_words(report))
    return ExitCode.OK


def _schema(args: argparse.Namespace) -> Schema:
    changes = {option: getattr(args, option) for option in _OF_A_TYPE}
    if args.schema:
        if args.declare or any(changes.values()):
            raise UsageError("--schema is the whole schema; leave the options out that change single types")
        return schema_from_file(args.schema)
    if not has_store(args.source):
        raise StoreMissing(f"{args.source} is not a store; there is nothing to rebuild from")
    stored = load_store(OsFileSystem(), StorePaths(args.source)).schema
    return changed_schema(stored, changes, drop=args.drop, declare=args.declare)


def _in_words(report: RebuildReport) -> str:
    lines = [f"{report.target}: {report.events:,} events, {report.entity_records:,} names and metadata"]
    for name, count in report.dropped.items():
        lines.append(f"  left out: {count:,} events of {name}")
    if report.same_sequences:
        lines.append("  every event has the sequence that it had")
    else:
        lines.append(
            f"  sequences are new: the events {report.first_seq:,} to {report.last_seq:,} became 1 to "
            f"{report.events:,}"
        )
    return "\n".join(lines) + "\n"
