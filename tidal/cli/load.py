"""`tidal load FILE --db DIR`: the rows of a file become events of a store."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.declare import EXAMPLE, schema_from_declarations, schema_from_file
from tidal.cli.exit_codes import ExitCode
from tidal.cli.mapping import NAMED_AS, ColumnMapping, Refused, convert, decide_names, refuse
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.readers import INPUT_FORMATS, Chunk, Reader, open_reader
from tidal.cli.refused import SUFFIX, RefusedFile
from tidal.cli.store import add_store_option, has_store
from tidal.cli.times import NS_PER_UNIT, TimeFormat, time_zone
from tidal.db import TidalDb
from tidal.errors import TidalError, UsageError
from tidal.opening import open as open_db
from tidal.schema import Schema

_COLUMN_OPTIONS: Final = {
    "entity_id": "entity",
    "timestamp": "timestamp",
    "weight": "weight",
    "user_id": "user",
    "session_id": "session",
    "event_id": "event_id",
    "signal": "signal_column",
}


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "load",
        help="load events from CSV, JSON Lines or Parquet",
        description="Load the rows of a file as events: CSV, JSON Lines (both also .gz, .zst) or Parquet.",
        epilog=f"Example: tidal load orders.csv --db shop --declare '{EXAMPLE}' "
        "--signal purchase --entity sku --timestamp time --weight quantity",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    add_store_option(parser)
    columns = parser.add_argument_group("which column is what")
    columns.add_argument("--entity", required=True, metavar="COL", help="what collects the signals")
    columns.add_argument(
        "--timestamp", metavar="COL", help="when it happened; the time of loading if left out"
    )
    columns.add_argument("--weight", metavar="COL", help="how much it counts; 1 if left out")
    columns.add_argument("--user", metavar="COL", help="who did it")
    columns.add_argument("--session", metavar="COL", help="in which session, order or visit")
    columns.add_argument("--event-id", metavar="COL", help="what each event is known by, for --dedup")
    signal = columns.add_mutually_exclusive_group(required=True)
    signal.add_argument("--signal", metavar="NAME", help="the signal type of every row")
    signal.add_argument("--signal-column", metavar="COL", help="the column that names each row's signal type")
    values = parser.add_argument_group("how values are written")
    values.add_argument(
        "--signal-map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="a value of the signal column and the signal type it stands for; may be repeated",
    )
    values.add_argument(
        "--timestamp-format",
        default="iso",
        metavar="FORMAT",
        help=f'iso (default), {", ".join(NS_PER_UNIT)} since 1970, or a pattern like "%%d/%%m/%%Y %%H:%%M"',
    )
    values.add_argument(
        "--time-zone", metavar="ZONE", help="of times that name none, such as Europe/London; UTC"
    )
    for name in ("entity", "user", "session", "event-id"):
        values.add_argument(
            f"--{name}-as",
            choices=NAMED_AS,
            default="auto",
            help="numbers, or names; auto (default): numbers if the column holds nothing else",
        )
    values.add_argument("--input-format", choices=INPUT_FORMATS, help="if the file's name does not tell")
    values.add_argument("--delimiter", metavar="CHAR", help="of a CSV file; a comma, or a tab for .tsv")
    store = parser.add_argument_group("the store")
    schema = store.add_mutually_exclusive_group()
    schema.add_argument(
        "--declare",
        action="append",
        metavar="TEXT",
        help=f"a signal type of a new store: '{EXAMPLE}'; repeatable",
    )
    schema.add_argument(
        "--schema", type=Path, metavar="FILE", help="the signal types of a new store, as JSON"
    )
    store.add_argument(
        "--dedup",
        choices=("event_id", "content"),
        help="drop rows that are among the last million events: by --event-id, or equal in every field",
    )
    store.add_argument(
        "--skip-rows", type=int, default=0, metavar="N", help="go on after row N of an earlier load"
    )
    store.add_argument(
        "--refused", type=Path, metavar="FILE", help=f"the side file; FILE{SUFFIX} if left out"
    )
    add_format_option(parser)
    parser.set_defaults(run=run)


@dataclass(slots=True)
class Summary:
    """What a load did; the fields of its JSON form."""

    file: str
    rows: int = 0
    events: int = 0
    duplicates: int = 0
    refused: int = 0
    refused_file: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    durable_seq: int = 0
    seconds: float = 0.0


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    mapping = _mapping(args)
    schema = _schema(args)
    if schema is not None and mapping.signal is not None:
        schema.signal(mapping.signal)
    reader = open_reader(args.file, args.input_format, delimiter=args.delimiter)
    mapping.check_names(reader.names())
    named_as = decide_names(mapping, reader)
    summary = Summary(file=str(args.file))
    side_path = args.refused or args.file.with_name(args.file.name + SUFFIX)
    started = time.monotonic()
    loaded = False
    try:
        with (
            open_db(args.db, schema=schema, dedup=args.dedup) as db,
            RefusedFile(side_path, append=args.skip_rows > 0) as side,
            Progress(err, "rows", enabled=args.format == "text") as progress,
        ):
            if mapping.signal is not None:
                db.schema.signal(mapping.signal)  # an unknown one would refuse every row
            load_rows(db, reader, mapping, named_as, summary, side, progress, after_row=args.skip_rows)
            summary.durable_seq = db.flush()
            summary.refused = side.count
            summary.refused_file = str(side.path) if side.count else None
            loaded = True
    except (TidalError, OSError, KeyboardInterrupt) as error:
        if loaded:  # closing writes a checkpoint, which the log can do without
            error.add_note("every row is loaded and durable all the same: do not load the file again")
        raise
    summary.seconds = time.monotonic() - started
    if args.format == "json":
        write_json(out, {**asdict(summary), "named_as": named_as})
    else:
        out.write(_in_words(summary, named_as))
    return ExitCode.ROWS_REFUSED if summary.refused else ExitCode.OK


def load_rows(
    db: TidalDb,
    reader: Reader,
    mapping: ColumnMapping,
    named_as: dict[str, str],
    summary: Summary,
    side: RefusedFile,
    progress: Progress,
    *,
    after_row: int = 0,
) -> None:
    """Ingest every row after ``after_row``; keep ``summary`` true at every moment.

    A chunk is one batch of the log: after a failure it is in the store whole or not at all. The error gets a
    note that says which row to go on from.
    """
    done_row = last_row = after_row
    seq_before = db.last_seq
    try:
        for chunk in reader.chunks():
            seq_before = db.last_seq
            last_row = max([*chunk.rows[-1:].tolist(), *(broken.row for broken in chunk.broken[-1:])])
            if last_row > after_row:
                with _interrupt_held():
                    summary.rows += _rows_after(chunk, after_row)
                    side.write(_load_chunk(db, chunk, mapping, named_as, summary, after_row))
                    done_row = last_row
                progress.update(summary.rows, reader.share())
    except (TidalError, OSError, KeyboardInterrupt) as error:
        if db.last_seq > seq_before:
            done_row = last_row
        error.add_note(f"rows up to {done_row} are done, go on with --skip-rows {done_row}")
        raise


@contextlib.contextmanager
def _interrupt_held() -> Iterator[None]:
    """Let a first Ctrl-C wait for the end of the block, so that a chunk's refused rows are told with it."""
    held: list[int] = []

    def hold(number: int, _: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def _load_chunk(
    db: TidalDb,
    chunk: Chunk,
    mapping: ColumnMapping,
    named_as: dict[str, str],
    summary: Summary,
    after_row: int,
) -> list[Refused]:
    columns, kept, refused = convert(chunk, mapping, named_as, after_row=after_row)
    refused += [Refused(b.row, None, None, b.reason, b.text) for b in chunk.broken if b.row > after_row]
    if len(kept):
        done = db.ingest(**columns, on_error="skip")
        for row in done.refused:
            column = mapping.columns.get(row.column, row.column)
            refused.append(refuse(chunk, int(kept[row.row]), column, row.reason))
        if done.count:
            summary.events += done.count
            summary.first_seq = summary.first_seq or done.first_seq
            summary.last_seq = done.last_seq
        summary.duplicates += done.duplicates
    return sorted(refused, key=lambda row: row.row)


def _rows_after(chunk: Chunk, after_row: int) -> int:
    broken = sum(row.row > after_row for row in chunk.broken)
    return int((chunk.rows > after_row).sum()) + broken


def _mapping(args: argparse.Namespace) -> ColumnMapping:
    if args.delimiter is not None and len(args.delimiter) != 1:
        raise UsageError(f"--delimiter {args.delimiter!r} is not one character")
    if args.skip_rows < 0:
        raise UsageError(f"--skip-rows {args.skip_rows} is negative")
    if args.dedup == "event_id" and args.event_id is None:
        raise UsageError("--dedup event_id needs --event-id, the column of the event ids")
    names = {}
    for text in args.signal_map:
        old, separator, new = text.partition("=")
        if not separator or not new:
            raise UsageError(f"--signal-map {text!r} is not OLD=NEW")
        names[old] = new
    if names and args.signal_column is None:
        raise UsageError("--signal-map translates the values of --signal-column; that is missing")
    options = vars(args)
    return ColumnMapping(
        columns={
            name: options[option] for name, option in _COLUMN_OPTIONS.items() if options[option] is not None
        },
        signal=args.signal,
        signal_names=names,
        time_format=TimeFormat(args.timestamp_format, time_zone(args.time_zone) if args.time_zone else UTC),
        named_as={
            "entity_id": args.entity_as,
            "user_id": args.user_as,
            "session_id": args.session_as,
            "event_id": args.event_id_as,
        },
    )


def _schema(args: argparse.Namespace) -> Schema | None:
    if args.declare:
        return schema_from_declarations(args.declare)
    if args.schema:
        return schema_from_file(args.schema)
    if not has_store(args.db):
        raise UsageError(
            f"{args.db} has no store yet: declare its signal types, for example --declare '{EXAMPLE}'"
        )
    return None


def _in_words(summary: Summary, named_as: dict[str, str]) -> str:
    rate = summary.rows / summary.seconds if summary.seconds else 0.0
    lines = [f"{summary.file}: {summary.rows:,} rows in {summary.seconds:.1f} s ({rate:,.0f} rows/s)"]
    if summary.events:
        lines.append(
            f"  {summary.events:,} events, sequences {summary.first_seq:,} to {summary.last_seq:,}, durable"
        )
    else:
        lines.append("  no events")
    if summary.duplicates:
        lines.append(f"  {summary.duplicates:,} duplicates dropped")
    if summary.refused:
        lines.append(f"  {summary.refused:,} rows refused: {summary.refused_file} says why")
    named = [
        f"{name.removesuffix('_id')} {'ids' if kind == 'id' else 'keys'}" for name, kind in named_as.items()
    ]
    lines.append(f"  read as {', '.join(named)}")
    return "\n".join(lines) + "\n"
