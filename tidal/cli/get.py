"""`tidal get ENTITY --db DIR`: every measure of one entity, and what is known about it."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_error, write_json
from tidal.cli.store import add_store_option, add_time_option, find_entity, open_to_read, time_option
from tidal.cli.tables import Column, printable, render_table
from tidal.cli.times import format_time, iso_time
from tidal.db import TidalDb
from tidal.schema import SignalType, format_duration
from tidal.schema.measures import COUNT, SCORE, Measure, measures_of, parse_measure
from tidal.schema.spec import KINDS


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "get",
        help="show every measure of one entity",
        description="Show every measure of one entity over all signal types, and its metadata.",
    )
    parser.add_argument(
        "entity", metavar="KEY_OR_ID", help="a key that the store knows, else a number is an id"
    )
    add_store_option(parser)
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help=f"of the entity; {KINDS[0]}")
    add_time_option(parser)
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    as_json = args.format == "json"
    at = time_option(args.at)
    with open_to_read(args.db) as db:
        found = find_entity(db, args.kind, args.entity)
        signals = [signal for signal in db.schema if signal.kind == args.kind]
        measures = [parse_measure(signal, name) for signal in signals for name in measures_of(signal)]
        names = [f"{signal.name}.{name}" for signal in signals for name in measures_of(signal)]
        values = [_value(db, measure, found.id, at) for measure in measures] if found else []
        shown_at = db.now() if at is None else at
    if not found or (found.metadata is None and not any(values)):
        write_error(
            err, "tidal get", "NotFound", f"no {args.kind} {args.entity!r} in {args.db}", as_json=as_json
        )
        return ExitCode.NOT_FOUND
    if as_json:
        head = {"kind": args.kind, "id": found.id, "key": found.key, "at": iso_time(shown_at)}
        write_json(
            out, {**head, "measures": dict(zip(names, values, strict=True)), "metadata": found.metadata}
        )
        return ExitCode.OK
    name = f"{found.key} (id {found.id})" if found.key is not None else str(found.id)
    out.write(f"{args.kind} {printable(name)} at {format_time(shown_at)}\n")
    for field, value in (found.metadata or {}).items():
        out.write(f"  {printable(str(field))}: {printable(str(value))}\n")
    columns = [Column("measure", text=True), Column("value"), Column("unit", text=True)]
    rows = [
        (name, value, _remark(measure)) for name, value, measure in zip(names, values, measures, strict=True)
    ]
    out.write("\n" + render_table(columns, rows))
    return ExitCode.OK


def _value(db: TidalDb, measure: Measure, entity: int, at: int | None) -> float | int:
    name = measure.signal.name
    if measure.what == SCORE:
        return db.score(name, entity, half_life=measure.position, at=at)
    if measure.what == COUNT:
        return db.count(name, entity, measure.window, at=at)
    return db.velocity(name, entity, measure.window, at=at)


def _remark(measure: Measure) -> str:
    if measure.what == COUNT:
        return "events"
    return _half_life(measure.signal, measure.position) if measure.what == SCORE else "events/s"


def _half_life(signal: SignalType, position: int) -> str:
    return (
        f"half-life {format_duration(signal.half_lives[position])}" if signal.half_lives else "does not decay"
    )
