"""`tidalctl verify PATH`: every hash, chain and sequence of a store, an archive or one file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final, TextIO

from tidal.cli.ctl.exit_codes import code_of
from tidal.cli.ctl.output import add_output_options, in_words
from tidal.cli.ctl.target import add_target, target_of
from tidal.cli.output import write_json
from tidal.cli.progress import Progress
from tidal.cli.tables import Column, render_table
from tidal.inspect import Report, Severity, verify
from tidal.inspect.findings import GOOD, FileLooked

_VERDICTS: Final = {Severity.DAMAGE: "DAMAGED", Severity.UNREADABLE: "not all could be read"}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="check every hash, chain and sequence of a store, an archive or one file",
        description="Check every hash, chain and sequence of a store, a folder of archives, or one file of "
        "either, and say in words what is wrong, where, and what to do. Nothing is written; the store may be "
        "in use meanwhile.",
        epilog="Only damage (exit code 1) needs hands. What is unfinished is as a writer at work or a crash "
        "leaves it, and settled by the next open.",
    )
    add_target(parser, "a store, a folder of archives, or a file")
    parser.add_argument("--files", action="store_true", help="text: a line for each file, not for each part")
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    with Progress(err, "bytes", enabled=err.isatty()) as progress:
        report = verify(target_of(args), progress=progress.update)
    if args.format == "json":
        write_json(out, report.to_dict(), pretty=args.pretty)
    else:
        out.write(_in_words(report, each_file=args.files))
    return code_of(report.worst)


def _in_words(report: Report, *, each_file: bool) -> str:
    table = _file_table(report) if each_file else _part_table(report)
    told = in_words(report.findings)
    return f"{table}\n{told}{chr(10) if told else ''}{_summary(report)}\n"


def _part_table(report: Report) -> str:
    parts = dict.fromkeys(file.part for file in report.files)
    rows = []
    for part in parts:
        files = [file for file in report.files if file.part == part]
        rows.append((part, len(files), _bytes(files), _events(files), _states(report, files)))
    columns = [Column("part", text=True), Column("files"), Column("bytes"), Column("events")]
    return render_table([*columns, Column("state", text=True)], rows)


def _file_table(report: Report) -> str:
    rows = [(file.file, file.size, file.events, report.state_of(file.file)) for file in report.files]
    columns = [Column("file", text=True), Column("bytes"), Column("events"), Column("state", text=True)]
    return render_table(columns, rows)


def _bytes(files: Sequence[FileLooked]) -> int:
    return sum(file.size for file in files)


def _events(files: Sequence[FileLooked]) -> int | None:
    counts = [file.events for file in files if file.events is not None]
    return sum(counts) if counts else None


def _states(report: Report, files: Sequence[FileLooked]) -> str:
    states = [report.state_of(file.file) for file in files]
    bad = {state: states.count(state) for state in (*Severity, GOOD) if state != GOOD and state in states}
    return ", ".join(f"{count} {state}" for state, count in bad.items()) or GOOD


def _summary(report: Report) -> str:
    counts = {severity: 0 for severity in Severity}
    for finding in report.findings:
        counts[finding.severity] += 1
    seen = f"{len(report.files):,} files, {_bytes(report.files):,} bytes"
    if report.first_seq is not None:
        seen += f", events {report.first_seq:,} to {report.last_seq:,}"
    told = ", ".join(f"{count} {severity.value}" for severity, count in counts.items() if count)
    verdict = _VERDICTS.get(report.worst, GOOD) if report.worst else GOOD
    return f"{verdict}: {seen}{'; ' + told if told else ''}"
