"""`tidal rebuild SOURCE TARGET --half-life view=3d`: the same events under another schema, in a new store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TextIO

from tidal.cli.changes import add_change_options, schema_of
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.store import has_store
from tidal.durable import OsFileSystem
from tidal.errors import StoreMissing
from tidal.rebuild import RebuildReport, rebuild
from tidal.store import StorePaths, disk_usage, load_store


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
    add_change_options(parser, types=True)
    parser.add_argument(
        "--partial",
        action="store_true",
        help="go on though the beginning of the history is gone: scores and counts are of what is left",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with what an interrupted rebuild has left"
    )
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    paths = StorePaths(args.source)
    if not has_store(args.source):
        raise StoreMissing(f"{args.source} is not a store; there is nothing to rebuild from")
    schema = schema_of(args, load_store(OsFileSystem(), paths).schema)
    usage = disk_usage(OsFileSystem(), paths)
    stored = usage["log"] + usage["archive"]
    with Progress(err, "events", enabled=args.format == "text") as progress:
        report = rebuild(
            args.source,
            args.target,
            schema=schema,
            drop=args.drop,
            partial=args.partial,
            resume=args.resume,
            progress=lambda events, share: progress.update(events, share, read=round(stored * share)),
        )
    if args.format == "json":
        write_json(out, report.to_dict())
    else:
        out.write(_in_words(report))
    return ExitCode.OK


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
