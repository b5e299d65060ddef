"""`tidal replay SOURCE`: what a history adds up to; `--compare STORE`: whether that is the live state."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.changes import add_change_options, changes_schema, schema_of
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.store import time_option
from tidal.cli.tables import Column, render_table
from tidal.cli.times import format_time, iso_time
from tidal.errors import UsageError
from tidal.replay import Comparison, Replayed, ReplayProgress, compare, replay
from tidal.replay.finding import Looking, find_source
from tidal.schema import Schema

_SHOWN: Final = 5  # of the best entities of each type


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "replay",
        help="add up a history anew: an archive, a log, a store",
        description="Add up the events of a store, a folder of archive files, single files or a URL of an "
        "object store, and show the best entities, save the state as a store (--to), or compare it with the "
        "live state (--compare). The source is only read.",
    )
    parser.add_argument("source", nargs="*", metavar="SOURCE", help="a store, an archive, files, or a URL")
    parser.add_argument("--to", type=Path, metavar="DIR", help="save the state as a new store")
    parser.add_argument(
        "--compare", type=Path, metavar="DIR", help="name every record of a store that differs"
    )
    _add_choices(parser)
    _add_workers(parser)
    add_change_options(parser, types=False)
    add_format_option(parser)
    parser.set_defaults(run=run)


def _add_choices(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which events")
    group.add_argument("--until", metavar="TIME", help='nothing after this time: "2011-12-09 12:50" (UTC)')
    group.add_argument("--at", metavar="TIME", help="read as of a time; left out: that of the newest event")
    group.add_argument("--signal", action="append", metavar="TYPE", help="this type alone; repeatable")
    group.add_argument(
        "--partial", action="store_true", help="go on though the beginning of the history is gone"
    )
    group.add_argument(
        "--on-damage", choices=("raise", "skip"), default="raise",
        help="skip: leave out what is damaged or missing, and list it",
    )  # fmt: skip


def _add_workers(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("by whom")
    group.add_argument("--processes", type=int, metavar="N", help="that replay parts of it; left out: none")
    group.add_argument("--scratch", metavar="DIR", help="where they leave their parts; needed for --resume")
    group.add_argument("--resume", action="store_true", help="take what an interrupted run left in --scratch")
    group.add_argument(
        "--shard", metavar="I/N", help="replay the I-th of N parts, and write it to --out for tidal merge"
    )
    group.add_argument("--out", type=Path, metavar="FILE", help="where --shard writes its part")


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if args.compare is not None:
        return _compare(args, out, err)
    if not args.source:
        raise UsageError("name a SOURCE: a store, a folder of archive files, files, or a URL")
    if (args.shard is None) != (args.out is None):
        raise UsageError("--shard I/N and --out FILE belong together")
    found = _replay(args, err)
    if args.out is not None:
        found.write(args.out)
    if args.to is not None:
        found.save(args.to)
    written = args.out or args.to
    if args.format == "json":
        write_json(out, {**as_fields(found), "written": None if written is None else str(written)})
    else:
        out.write(in_words(found) + (f"written: {written}\n" if written else ""))
    return ExitCode.INCOMPLETE if found.left_out else ExitCode.OK


def _replay(args: argparse.Namespace, err: TextIO) -> Replayed:
    source = args.source[0] if len(args.source) == 1 else args.source
    with Progress(err, "events", enabled=args.format == "text") as progress:
        return replay(
            source,
            schema=_schema(args, source),
            at=time_option(args.at),
            until=time_option(args.until),
            signals=args.signal,
            executor=args.processes,
            scratch=args.scratch,
            resume=args.resume,
            part=None if args.shard is None else _part(args.shard),
            partial=args.partial,
            on_damage=args.on_damage,
            progress=lambda it: show(progress, it),
        )


def show(progress: Progress, it: ReplayProgress) -> None:
    """Draw how far a replay is."""
    progress.update(it.events, it.share, read=it.bytes)


def _schema(args: argparse.Namespace, source: Any) -> Schema | None:
    if not changes_schema(args):
        return None
    how = Looking(None, partial=True, skip=args.on_damage == "skip")
    return schema_of(args, find_source(source, how).schema)


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise UsageError(f"--shard {text!r} is not I/N, such as 2/8 for the second of eight parts")
    return int(number), int(count)


def as_fields(found: Replayed) -> dict[str, Any]:
    """Return a replay for programs: what it is of, and the best entities of each type."""
    return {
        "source": found.source,
        "events": found.events,
        "covered": [[it.store_id, it.first_seq, it.last_seq] for it in found.covered],
        "until": None if found.until is None else iso_time(found.until),
        "at": iso_time(found.now()),
        "left_out": [[it.name, it.first_seq, it.last_seq, it.reason] for it in found.left_out],
        "signals": {
            name: {
                "entities": len(found.ledger.table(name)),
                "top": [{"entity": entity, "score": score} for entity, score in found.top(name, _SHOWN)],
            }
            for name in found.schema.names
        },
    }


def in_words(found: Replayed) -> str:
    """Return a replay for people."""
    lines = [f"{found.events:,} events of {found.source}, as of {format_time(found.now())}"]
    for run in found.covered:
        lines.append(f"  store {run.store_id[:8]}: events {run.first_seq:,} to {run.last_seq:,}")
    for it in found.left_out:
        where = f" of {it.name}" if it.name else ""
        lines.append(f"  left out: events {it.first_seq:,} to {it.last_seq:,}{where}: {it.reason}")
    rows: list[list[object]] = []
    for name in found.schema.names:
        for place, (entity, score) in enumerate(found.top(name, _SHOWN), start=1):
            rows.append([name if place == 1 else "", place, str(entity), score])
    if rows:
        columns = [
            Column("signal", text=True), Column("#"), Column("entity", text=True),
            Column("score", decimals=3),
        ]  # fmt: skip
        lines.append(render_table(columns, rows).rstrip("\n"))
    return "\n".join(lines) + "\n"


def _compare(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if args.source or args.to or args.out or args.scratch or args.processes or changes_schema(args):
        raise UsageError("--compare DIR replays all of that store, and takes no other option than --format")
    with Progress(err, "events", enabled=args.format == "text") as progress:
        found = compare(args.compare, progress=lambda it: show(progress, it))
    if args.format == "json":
        write_json(out, _compared(found))
    else:
        out.write(_compared_in_words(found))
    return ExitCode.FAILED if found.differences else ExitCode.OK


def _compared(found: Comparison) -> dict[str, Any]:
    return {
        "records": found.records,
        "events": found.events,
        "last_seq": found.last_seq,
        "at": iso_time(found.at),
        "differences": [
            {
                "signal": it.signal, "entity_id": it.entity_id, "key": it.key, "measure": it.measure,
                "live": it.live, "replayed": it.replayed,
            }
            for it in found.differences
        ],
    }  # fmt: skip


def _compared_in_words(found: Comparison) -> str:
    differing = {(it.signal, it.entity_id) for it in found.differences}
    lines = [
        f"{found.records:,} records, {found.events:,} events up to {found.last_seq:,}: "
        + (f"{len(differing):,} records differ" if differing else "the live state is what they add up to")
    ]
    for it in found.differences:
        entity = str(it.entity_id) if it.key is None else it.key
        lines.append(f"  {it.signal} {entity} {it.measure}: live {it.live}, replayed {it.replayed}")
    return "\n".join(lines) + "\n"
