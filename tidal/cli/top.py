"""`tidal top SIGNAL --db DIR`: the entities with the highest score, count or velocity."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.store import add_store_option, add_time_option, open_to_read, time_option, titles_of
from tidal.cli.tables import Column, render_table
from tidal.cli.times import format_time, iso_time
from tidal.errors import UsageError
from tidal.schema.measures import COUNT, VELOCITY


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "top",
        help="show the entities with the highest score, count or velocity",
        description="Show the entities with the highest score, count or velocity of a signal type.",
    )
    parser.add_argument("signal", metavar="SIGNAL")
    add_store_option(parser)
    parser.add_argument("-k", type=int, default=20, metavar="N", help="how many; 20")
    parser.add_argument(
        "--by", default="score", metavar="MEASURE", help="score (default), count.1h, velocity.24h"
    )
    add_time_option(parser)
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if args.k < 1:
        raise UsageError(f"-k {args.k} is less than 1")
    at = time_option(args.at)
    with open_to_read(args.db) as db:
        kind = db.schema.signal(args.signal).kind
        best = db.top(args.signal, args.k, by=args.by, at=at)
        ids: list[int] = best.ids.tolist()
        values: list[float] = best.values.tolist()
        keys, titles = best.keys, titles_of(db, kind, ids)
        shown_at = db.now() if at is None else at
    if args.format == "json":
        rows = zip(ids, keys, titles, values, strict=True)
        write_json(
            out,
            {
                "signal": args.signal,
                "by": args.by,
                "at": iso_time(shown_at),
                "entities": [{"id": i, "key": key, "title": title, "value": v} for i, key, title, v in rows],
            },
        )
        return ExitCode.OK
    columns = [Column("#"), Column(kind, text=True)]
    cells: list[list[object]] = [
        [place, key if key is not None else str(entity)]
        for place, (entity, key) in enumerate(zip(ids, keys, strict=True), start=1)
    ]
    if any(titles):
        columns.append(Column("title", text=True))
        for row, title in zip(cells, titles, strict=True):
            row.append(title)
    counts = args.by.startswith(f"{COUNT}.")
    columns.append(Column(_heading(args.by), decimals=_decimals(values)))
    for row, value in zip(cells, values, strict=True):
        row.append(int(value) if counts else value)
    out.write(render_table(columns, cells))
    out.write(f"{args.signal}.{args.by} at {format_time(shown_at)}\n")
    return ExitCode.OK


def _heading(by: str) -> str:
    return f"{by} (events/s)" if by.startswith(f"{VELOCITY}.") else by


def _decimals(values: list[float]) -> int:
    """Return how many decimals show at least four digits of the largest value."""
    largest = max(map(abs, values), default=0.0)
    return 1 if largest >= 100 else 3 if largest >= 1 else 6
