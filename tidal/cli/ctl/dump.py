"""`tidalctl dump FILE`: one file of a store, for a person."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.ctl.exit_codes import ExitCode
from tidal.cli.ctl.output import add_output_options, in_words
from tidal.cli.declare import schema_from_file
from tidal.cli.output import write_json
from tidal.cli.tables import WIDTH, Column, format_cell, render_table
from tidal.cli.times import format_time, iso_time
from tidal.errors import UsageError
from tidal.inspect import EVENT_COLUMNS, Dump, Severity, Table, Time, dump, read_events

_HASH_SHOWN: Final = 12  # hexadecimal digits of a hash in a table
_ROWS_TOGETHER: Final = 1000  # events in one table: its widths come from its rows
_NO_LIMIT: Final = 1 << 16  # characters in a line
_SAYS_LEAST: Final = ("until", "plain_bytes", "blake3")
_IDS: Final = ("seq", "entity_id", "user_id", "session_id", "event_id", "offset")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "dump",
        help="show what is in one file of a store",
        description="Show what is in one file: a segment of the log, a checkpoint, an archive, a manifest, "
        "store.json, schema.json, entities.sqlite. A damaged file is shown as far as it can be read.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="one file of a store or an archive")
    parser.add_argument("--events", action="store_true", help="the events, too, of a segment or an archive")
    parser.add_argument("--limit", type=int, metavar="N", help="of the events; all of them if left out")
    parser.add_argument(
        "--schema",
        type=Path,
        metavar="FILE",
        help="names of the signal types, for a file that lies in no store; as of `tidal load`",
    )
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if args.limit is not None and (args.limit < 0 or not args.events):
        raise UsageError("--limit is a number of events, and goes with --events")
    schema = schema_from_file(args.schema) if args.schema else None
    found = dump(args.file, schema=schema)
    events = read_events(args.file, schema=schema) if args.events else None
    rows = itertools.islice(events, args.limit) if events is not None else None
    if args.format == "json":
        _write_json(out, found, rows, pretty=args.pretty)
    else:
        _write_text(out, found, rows)
    damaged = any(problem.severity is Severity.DAMAGE for problem in found.problems)
    return ExitCode.DAMAGE if damaged else ExitCode.GOOD


# ------------------------------------------------------------------------------------ JSON


def _write_json(out: TextIO, found: Dump, events: Iterator[tuple[Any, ...]] | None, *, pretty: bool) -> None:
    document = {
        "file": found.file,
        "kind": found.kind,
        "bytes": found.size,
        "fields": {name: _plain(value) for name, value in found.fields.items()},
        **{table.name: [_object(table.columns, row) for row in table.rows] for table in found.tables},
        "problems": [problem.to_dict() for problem in found.problems],
    }
    if events is None:
        write_json(out, document, pretty=pretty)
        return
    # Event by event, as there may be millions; the document is one all the same.
    head = json.dumps(document, indent=2 if pretty else None, allow_nan=False)
    out.write(head[:-1] + ', "events": [')
    for position, row in enumerate(events):
        out.write(",\n" if position else "\n")
        json.dump(_object(EVENT_COLUMNS, row), out, allow_nan=False)
    out.write("\n]}\n")


def _object(columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    return {column: _plain(value) for column, value in zip(columns, row, strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, Time):
        return iso_time(value)
    return value.hex() if isinstance(value, bytes) else value


# ------------------------------------------------------------------------------------ text


def _write_text(out: TextIO, found: Dump, events: Iterator[tuple[Any, ...]] | None) -> None:
    out.write(f"{found.kind} {found.file}, {found.size:,} bytes\n")
    width = max(map(len, found.fields), default=0)
    for name, value in found.fields.items():
        out.write(f"  {name:<{width}}  {_field(value)}\n")
    for table in found.tables:
        out.write(f"\n{table.name}\n{_table(table)}")
    while events is not None and (rows := list(itertools.islice(events, _ROWS_TOGETHER))):
        out.write(f"\nevents\n{_table(Table('events', EVENT_COLUMNS, rows), width=_NO_LIMIT)}")
    if found.problems:
        out.write("\n" + in_words(found.problems))


def _field(value: Any) -> str:
    if isinstance(value, Time):
        return iso_time(value)
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value) if isinstance(value, dict) else _cell(value)


def _table(table: Table, width: int = WIDTH) -> str:
    """The table without columns that say nothing, and, until it fits, without those that say least."""
    kept = [
        position
        for position in range(len(table.columns))
        if any(row[position] not in (None, []) for row in table.rows)
    ]
    spare = [p for p in kept if any(isinstance(row[p], bytes) for row in table.rows)]
    spare += [p for p in kept if table.columns[p] in _SAYS_LEAST]
    while max(map(len, (shown := _rendered(table, kept, _NO_LIMIT)).splitlines())) > width and spare:
        kept.remove(spare.pop(0))
    return shown if width == _NO_LIMIT else _rendered(table, kept, width)


def _rendered(table: Table, kept: list[int], width: int) -> str:
    """The columns that are kept; numbers that are names are shown without separators."""
    columns = [
        Column(table.columns[position], text=not all(_is_number(row[position]) for row in table.rows))
        for position in kept
    ]
    rows = [[_shown(table.columns[position], row[position]) for position in kept] for row in table.rows]
    return render_table(columns, rows, width=width) if kept else "none\n"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool | Time))


def _shown(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column in _IDS:
        return str(value)
    if column == "state":
        return value if value == "good" else "damaged"  # how is said below the tables
    if isinstance(value, Time):
        return format_time(value).removesuffix(" UTC")
    if isinstance(value, bytes):
        return value.hex()[:_HASH_SHOWN]
    return _cell(value) if isinstance(value, list) else value


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else format_cell(value)
