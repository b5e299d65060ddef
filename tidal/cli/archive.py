"""`tidal archive STORE`: move what the log needs no longer to the archive, and apply retention."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TextIO

from tidal.archive.upkeep import CHECKPOINT, ArchiveReport
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.store import has_store
from tidal.cli.tables import Column, render_table
from tidal.errors import StoreMissing
from tidal.opening import open as open_db


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "archive",
        help="move what the log needs no longer to the archive",
        description="Move what the log needs no longer to the archive, encoded anew to be small, and read "
        "back before the log lets go of it; then remove what --retain gives up. What is newer than the "
        "second newest checkpoint, or held by a mark, stays in the log. No other process may have the "
        "store open for writing.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's directory")
    parser.add_argument(
        "--retain",
        default="forever",
        metavar="HOW_MUCH",
        help='of the archive to keep: "forever" (default), an age such as "90d", or a size such as "10GiB"',
    )
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if not has_store(args.store):
        raise StoreMissing(f"{args.store} is not a store; there is nothing to archive")
    with open_db(args.store, clock="event", archive=False, retain=args.retain) as db:
        with Progress(err, "bytes of log", enabled=args.format == "text") as progress:
            report = db.archive(progress=lambda done, total: progress.update(done, done / total))
        usage = db.disk_usage()
    if args.format == "json":
        write_json(out, {**_as_fields(report), "disk_usage": usage})
    else:
        out.write(_in_words(report))
        out.write("\n" + render_table([Column("on disk", text=True), Column("bytes")], list(usage.items())))
    return ExitCode.OK


def _as_fields(report: ArchiveReport) -> dict[str, Any]:
    return {
        "archived": {
            "files": len(report.archived),
            "events": report.events,
            "bytes": report.archived_bytes,
            "log_bytes": report.segment_bytes,
        },
        "retired": {
            "files": len(report.retired),
            "events": sum(file.events for file in report.retired),
            "bytes": sum(file.size for file in report.retired),
        },
        "held_at": report.held_at,
        "held_by": report.held_by,
    }


def _in_words(report: ArchiveReport) -> str:
    lines = ["nothing to archive"]
    if report.archived:
        lines = [
            f"archived {report.events:,} events in {_files(len(report.archived))}: "
            f"{report.segment_bytes:,} bytes of log are {report.archived_bytes:,} now"
        ]
    if report.retired:
        lines.append(
            f"removed by --retain: {_files(len(report.retired))}, up to event {report.retired[-1].last_seq:,}"
        )
    if not report.held_at and report.held_by == CHECKPOINT:
        lines.append("the log keeps all it has: what leaves it is what two checkpoints cover")
        return "\n".join(lines) + "\n"
    holder = "the older checkpoint" if report.held_by == CHECKPOINT else f"the mark {report.held_by!r}"
    lines.append(f"the log keeps what is after event {report.held_at:,}: {holder} needs it")
    return "\n".join(lines) + "\n"


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
