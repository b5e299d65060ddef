"""`tidal export STORE OUT`: recorded events as a file, or as a stream that goes on."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import write_error
from tidal.cli.progress import Progress
from tidal.cli.store import find_entity, open_to_read, time_option
from tidal.db import TidalDb
from tidal.errors import UsageError
from tidal.export import ExportFormat, ExportRequest
from tidal.export.formats import Encoding, encoding_of

STDOUT: Final = Path("-")
LOOK_SECONDS: Final = 1.0  # between two looks of --follow


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write recorded events to a file",
        description="Write recorded events to a file, in the order of the log, and beside it a manifest. The "
        "store is only read, also while another process writes it. The file appears when it is whole.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's directory")
    parser.add_argument("out", type=Path, metavar="OUT", help='the file to write; "-" is the standard output')
    _add_choice(parser)
    parser.add_argument(
        "--format",
        choices=[format.value for format in ExportFormat],
        help="left out, what the suffix of OUT says (.csv, .parquet, .arrow, .jsonl.zst, ...), else jsonl",
    )
    parser.add_argument(
        "--compression", choices=["none", "gzip", "zstd"], help="left out, as the suffix says"
    )
    parser.add_argument("--keys", action="store_true", help="string keys of entities and users, too")
    parser.add_argument("--ids-as-text", action="store_true", help="in jsonl, ids as texts: beyond 2**53 too")
    parser.add_argument(
        "--formulas", action="store_true", help="in csv, leave texts such as =1+1 as they are"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on with what becomes durable, until Ctrl-C; jsonl or csv, added to OUT where that is a file",
    )
    parser.set_defaults(run=run)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--signals", metavar="NAME,...", help="only of these signal types")
    parser.add_argument("--since", metavar="TIME", help='from this time on, "2011-12-09 12:50" (UTC)')
    parser.add_argument("--until", metavar="TIME", help="before this time")
    parser.add_argument("--user", metavar="KEY_OR_ID", help="only of this user")
    parser.add_argument("--session", metavar="KEY_OR_ID", help="only of this session")
    parser.add_argument("--entity", metavar="KEY_OR_ID", help="only of this item, user or creator")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many events")
    parser.add_argument(
        "--after-seq", type=int, metavar="SEQ", help="only what was recorded after this sequence"
    )
    parser.add_argument(
        "--all", action="store_true", help="all times; one of --since, --until, --after-seq, --all"
    )


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    encoding = encoding_of(
        None if args.out == STDOUT else args.out,
        args.format,
        args.compression,
        default=ExportFormat.JsonLines,
    )
    with open_to_read(args.store) as db:
        request = _request(args, db)
        if request is None:
            write_error(
                err, "tidal export", "NotFound", f"no user {args.user!r} in {args.store}", as_json=False
            )
            return ExitCode.NOT_FOUND
        if args.follow:
            return _follow(args, db, request, encoding, out, err)
        if args.out == STDOUT:
            export = db.export_signals(request)
            for chunk in export.table().chunks(*encoding, **_text_options(args)):
                _binary(out).write(chunk)
            return ExitCode.OK
        export = db.export_signals(request)
        with Progress(err, "events") as progress:
            written = export.write(
                args.out, format=encoding.format, compression=encoding.compression, **_text_options(args),
                progress=lambda rows: progress.update(rows, export.share),
            )  # fmt: skip
    out.write(f"{written.rows:,} events, {written.bytes:,} bytes in {written.path}\n")
    out.write(f"read up to sequence {export.last_seq}: go on with --after-seq {export.last_seq}\n")
    return ExitCode.OK


def _request(args: argparse.Namespace, db: TidalDb) -> ExportRequest | None:
    """Return what the options ask for; None if there is no such user."""
    if args.since is None and args.until is None and args.after_seq is None and not args.all:
        raise UsageError("say --since, --until or --after-seq, or --all for everything that there is")
    user = None if args.user is None else find_entity(db, "user", args.user)
    if args.user is not None and user is None:
        return None
    return ExportRequest(
        user_id=None if user is None else user.id,
        signal_types=tuple(args.signals.split(",")) if args.signals else (),
        since=time_option(args.since),
        until=time_option(args.until),
        limit=args.limit,
        session_id=_key_or_id(args.session),
        entity_id=_entity(db, args.entity),
        all=args.all,
        after_seq=args.after_seq,
        keys=args.keys,
    )


def _entity(db: TidalDb, text: str | None) -> int | str | None:
    if text is not None:
        for kind in ("item", "user", "creator"):
            if (found := find_entity(db, kind, text)) is not None and found.key == text:
                return found.id
    return _key_or_id(text)


def _key_or_id(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else text


def _text_options(args: argparse.Namespace) -> dict[str, Any]:
    return {"ids_as": "text" if args.ids_as_text else "number", "neutralise": not args.formulas}


def _binary(out: TextIO) -> BinaryIO:
    out.flush()
    binary: BinaryIO = out.buffer
    return binary


# ------------------------------------------------------------------------------------ --follow


def _follow(
    args: argparse.Namespace,
    db: TidalDb,
    request: ExportRequest,
    encoding: Encoding,
    out: TextIO,
    err: TextIO,
) -> int:
    if not encoding.format.is_text or encoding.compression != "none":
        raise UsageError(f"--follow adds lines: jsonl or csv, not compressed; not {' '.join(encoding)}")
    if request.limit is not None or request.until is not None:
        raise UsageError("--follow has no end: leave --limit and --until out")
    request.checked(db.schema)
    if args.out == STDOUT:
        last = _write_what_comes(db, request, encoding, _text_options(args), _binary(out), is_new=True)
    else:
        with args.out.open("ab") as file:
            last = _write_what_comes(db, request, encoding, _text_options(args), file, is_new=not file.tell())
    err.write(f"read up to sequence {last}: go on with --after-seq {last}\n")
    return ExitCode.OK


def _write_what_comes(
    db: TidalDb,
    request: ExportRequest,
    encoding: Encoding,
    options: dict[str, Any],
    file: BinaryIO,
    *,
    is_new: bool,
) -> int:
    """Write events as they become durable until Ctrl-C; return the sequence up to which they are written.

    What was being written then is taken back from a file. A pipe may have got events after that sequence.
    """
    last, end = request.after_seq or 0, file.tell() if file.seekable() else None
    try:
        while True:
            export = db.export_signals(request)
            chunks = export.table().chunks(*encoding, **options)
            if encoding.format is ExportFormat.Csv and not is_new:
                next(chunks)  # the header
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            is_new, last, end = False, export.last_seq, None if end is None else file.tell()
            request = replace(request, after_seq=last)
            time.sleep(LOOK_SECONDS)
            db.refresh()
    except KeyboardInterrupt:
        if end is not None:
            file.truncate(end)
        return last
