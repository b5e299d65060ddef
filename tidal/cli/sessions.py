"""`tidal sessions STORE`: what is known of sessions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TextIO

from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_error, write_json
from tidal.cli.store import find_entity, open_to_read, time_option
from tidal.cli.tables import Column, printable, render_table
from tidal.cli.times import format_time, iso_time
from tidal.db import TidalDb
from tidal.sessions import SessionSummary


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "sessions",
        help="show sessions, open and closed",
        description="Show the sessions that a store has open, and the closed ones that it remembers.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's directory")
    parser.add_argument("--user", metavar="KEY_OR_ID", help="only of this user")
    parser.add_argument("--since", metavar="TIME", help="only those in which something happened since")
    parser.add_argument("--open", action="store_true", help="only those that are open")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    as_json = args.format == "json"
    since = time_option(args.since)
    with open_to_read(args.store) as db:
        user = None if args.user is None else find_entity(db, "user", args.user)
        found = db.sessions.summaries(None if user is None else user.id, since)
        users = _names(db, found)
    if args.user is not None and user is None:
        unknown = f"no user {args.user!r} in {args.store}"
        write_error(err, "tidal sessions", "NotFound", unknown, as_json=as_json)
        return ExitCode.NOT_FOUND
    if args.open:
        found = [each for each in found if each.is_open]
    if as_json:
        write_json(out, {"sessions": [_as_json(each, users[each.user_id]) for each in found]})
        return ExitCode.OK
    rows = [_row(each, users[each.user_id]) for each in found]
    headings = ("session", "user", "agent", "opened", "state")
    columns = [*(Column(name, text=True) for name in headings), Column("operations")]
    out.write(render_table(columns, rows))
    still = sum(each.is_open for each in found)
    out.write(f"{len(found)} sessions, {still} of them open\n")
    return ExitCode.OK


def _names(db: TidalDb, found: list[SessionSummary]) -> dict[int, str | None]:
    return {user: db.key_of(user, kind="user") for user in {each.user_id for each in found}}


def _as_json(summary: SessionSummary, user: str | None) -> dict[str, Any]:
    times = {
        name: None if time is None else iso_time(time)
        for name in ("opened_at", "last_at", "closed_at")
        for time in [getattr(summary, name)]
    }
    return {**summary.to_dict(), **times, "user": user}


def _row(summary: SessionSummary, user: str | None) -> list[object]:
    return [
        str(summary.id),
        printable(user if user is not None else str(summary.user_id)),
        printable(summary.agent),
        format_time(summary.opened_at),
        summary.reason or "open",
        summary.seq,
    ]
