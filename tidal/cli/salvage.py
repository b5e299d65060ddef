"""`tidal salvage SOURCE TARGET`: what is good in a damaged store, in a new one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.ctl.output import in_words
from tidal.cli.declare import schema_from_declarations, schema_from_file
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.salvage import SalvageReport, salvage

_SHOWN_MAX: Final = 20  # of findings and ranges in the text; origin.json has all


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "salvage",
        help="save what is good in a damaged store into a new one",
        description="Save every event of a damaged store that can be proven, from its log and its archive, "
        "into a new store, with names and metadata. The source is only read: stop what writes to it before. "
        "A store that opens needs no salvage; look with `tidalctl verify` first.",
    )
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="the store's directory, or one of archives"
    )
    parser.add_argument("target", type=Path, metavar="TARGET", help="the new store's; it must not exist")
    schema = parser.add_mutually_exclusive_group()
    schema.add_argument(
        "--declare",
        action="append",
        metavar="TEXT",
        help="if schema.json is lost: each signal type, in the order of the store; repeatable",
    )
    schema.add_argument("--schema", type=Path, metavar="FILE", help="the same as JSON; a copy of schema.json")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    schema = schema_from_file(args.schema) if args.schema else None
    if args.declare:
        schema = schema_from_declarations(args.declare)
    with Progress(err, "events", enabled=args.format == "text") as progress:
        report = salvage(args.source, args.target, schema=schema, progress=progress.update)
    if args.format == "json":
        write_json(out, report.to_dict())
    else:
        out.write(_in_words(report))
    return ExitCode.INCOMPLETE if report.lost or report.entity_records_damaged else ExitCode.OK


def _in_words(report: SalvageReport) -> str:
    lines = [
        f"{report.target}: {report.events:,} events, {report.entity_records:,} names and metadata",
        f"  lost: {report.lost_events:,} events, {report.entity_records_damaged:,} names and metadata",
    ]
    lines += [f"    events {first:,} to {last:,}" for first, last in report.lost[:_SHOWN_MAX]]
    lines.append("  sequences are new:")
    for first, last, new_first in report.moved[:_SHOWN_MAX]:
        lines.append(f"    {first:,} to {last:,} became {new_first:,} to {new_first + last - first:,}")
    text = "\n".join(lines) + "\n"
    if report.skipped:
        text += "\npassed by:\n\n" + in_words(report.skipped[:_SHOWN_MAX], advice=False)
    if max(len(report.lost), len(report.moved), len(report.skipped)) > _SHOWN_MAX:
        text += f"\nthe whole report: {Path(report.target) / 'origin.json'}\n"
    return text
