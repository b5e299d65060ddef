"""`tidal promote PATH`: make a follower's folder the leader, when the old one is gone."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.carrying import add_transport_options, open_transport
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.store import has_store, is_follower, open_to_read
from tidal.cli.tables import Column, render_table
from tidal.durable import OsFileSystem, read_file
from tidal.errors import ReplicationError, StoreLocked, StoreMissing, UsageError
from tidal.following import open_follower
from tidal.format.following import Following, decode_following
from tidal.inspect.place import look_at_place
from tidal.records import record
from tidal.replication.feed import LogFeed
from tidal.replication.heard import LISTEN_SECONDS, Heard, listen
from tidal.replication.lag import Position
from tidal.replication.transport import Transport
from tidal.store import StorePaths, load_store

STOP_SECONDS: Final = 30.0  # for the process that follows to write its checkpoint and end

_LOOK_SECONDS: Final = 0.05


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "promote",
        help="make a copy the leader, when the old leader is gone",
        description="Claim the next epoch for a follower's folder, so that it can be opened for writing and "
        f"every older leader is refused. First it is listened for {LISTEN_SECONDS:g} s who else is there: "
        "nothing is changed while a leader is heard, while another follower has more events, or while a "
        "process follows with this folder, unless an option says so.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="the follower's folder")
    parser.add_argument(
        "--look", action="store_true", help="say who is heard and how far, and change nothing"
    )
    parser.add_argument(
        "--stop", action="store_true", help="end the process that follows with this folder, by SIGTERM"
    )
    parser.add_argument(
        "--depose", action="store_true", help="though a leader is heard: it is refused from then on"
    )
    parser.add_argument(
        "--behind", action="store_true", help="though another follower has more: those events are given up"
    )
    parser.add_argument(
        "--force", action="store_true",
        help="though another node has claimed the epoch: it is known to be gone for good",
    )  # fmt: skip
    add_transport_options(parser, what="what the followers and the old leader use")
    add_format_option(parser)
    parser.set_defaults(run=run)


@record
class Place:
    """What is found before anything is changed. ``writer`` is the process that has the folder open."""

    path: str
    name: str  # of this follower
    leader_epoch: int  # the newest in which a leader was heard
    position: Position
    writer: int | None


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if not has_store(args.path):
        raise StoreMissing(f"{args.path} is not a store; name the folder of a follower")
    if not is_follower(args.path):
        raise UsageError(f"{args.path} follows nobody: it can be opened for writing as it is")
    with contextlib.closing(open_transport(args)) as transport:
        heard = listen(transport, load_store(OsFileSystem(), StorePaths(args.path)).log, LISTEN_SECONDS)
        place = _place(args.path)
        against = objections(place, heard)
        if args.look:
            _say_found(args, out, place, heard, against)
            return ExitCode.FAILED if against else ExitCode.OK
        for option, why in against.items():
            if not getattr(args, option):
                raise ReplicationError(f"{why}; nothing was changed")
        if place.writer is not None:
            _stop(args.path, place.writer)
        _promote(args, out, transport, place.name)
    return ExitCode.OK


def objections(place: Place, heard: Heard) -> dict[str, str]:
    """Return what speaks against promoting, by the option that overrules it."""
    found = {}
    if heard.leader is not None and heard.leader.epoch >= place.leader_epoch:
        found["depose"] = (
            f"a leader of epoch {heard.leader.epoch} is heard, at event {heard.leader.seq:,}: end it first, "
            "or say --depose"
        )
    others = {name: it for name, it in heard.followers.items() if name != place.name}
    ahead = max(others, key=others.__getitem__, default=None)
    if ahead is not None and others[ahead] > place.position:
        found["behind"] = (
            f"the follower {ahead!r} has {_said(others[ahead])}, and this one {_said(place.position)}: "
            "promote that one, or say --behind"
        )
    if place.writer is not None:
        found["stop"] = (
            f"process {place.writer} has the folder open: end it and what starts it again, or say --stop"
        )
    return found


def _said(position: Position) -> str:
    return f"{position.seq:,} events, the last of epoch {position.epoch}"


# ------------------------------------------------------------------------------------ looking


def _place(path: Path) -> Place:
    paths = StorePaths(path)
    known: Following = decode_following(read_file(OsFileSystem(), paths.following))
    with open_to_read(path) as db:
        last_seq = db.last_seq
    log = load_store(OsFileSystem(), paths).log
    origin = LogFeed(OsFileSystem(), paths.wal, log).epoch_of(last_seq)
    position = Position(known.leader_epoch if origin is None else origin.epoch, last_seq)
    name = known.claim.partition("/")[0]
    return Place(str(path), name, known.leader_epoch, position, look_at_place(paths).writer_pid)


def _say_found(
    args: argparse.Namespace, out: TextIO, place: Place, heard: Heard, against: dict[str, str]
) -> None:
    if args.format == "json":
        write_json(
            out,
            {
                **asdict(place),
                "position": place.position._asdict(),
                "leader": None if heard.leader is None else heard.leader._asdict(),
                "followers": {name: it._asdict() for name, it in heard.followers.items()},
                "against": against,
            },
        )
        return
    rows: list[tuple[object, ...]] = []
    if heard.leader is not None:
        rows.append(("the leader", *heard.leader, ""))
    others = {name: it for name, it in heard.followers.items() if name != place.name}
    rows += [(name, *it, "") for name, it in sorted(others.items())]
    running = "not running" if place.writer is None else f"process {place.writer}"
    rows.append((place.name, *place.position, f"this folder, {running}"))
    columns = [
        Column("node", text=True), Column("epoch"), Column("event"), Column("", text=True)
    ]  # fmt: skip
    out.write(render_table(columns, rows))
    for why in against.values() or ["nothing speaks against promoting it"]:
        out.write(f"- {why}\n")


# ------------------------------------------------------------------------------------ changing


def _stop(path: Path, process: int) -> None:
    """End the process that has the folder open. ReplicationError if it does not end, or another follows."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while (holder := look_at_place(StorePaths(path)).writer_pid) is not None:
        if holder != process:
            raise ReplicationError(f"process {holder} has opened {path} again: end what starts it, too")
        if time.monotonic() > give_up_at:
            raise ReplicationError(f"process {process} has not ended within {STOP_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)


def _promote(args: argparse.Namespace, out: TextIO, transport: Transport, name: str) -> None:
    try:
        follower = open_follower(args.path, transport, name=name)
    except StoreLocked as error:
        raise ReplicationError(f"{error}; end what starts it, too") from error
    with follower, follower.promote(force=args.force) as db:
        epoch, last_seq = db.epoch, db.last_seq
    if args.format == "json":
        write_json(out, {"path": str(args.path), "epoch": epoch, "last_seq": last_seq})
    else:
        out.write(
            f"{args.path} leads from epoch {epoch} on, after event {last_seq:,}. Now start the program that "
            "writes to it, shipping\nover the same transport; the other followers go on by themselves.\n"
        )
