"""`tidal follow PATH`: a follower of a store, in this process."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.carrying import add_transport_options, open_transport
from tidal.cli.ending import Ending, ended_by_signals
from tidal.cli.exit_codes import ExitCode
from tidal.cli.measured import add_metrics_options, metrics_option
from tidal.cli.output import add_format_option
from tidal.cli.store import has_store, is_follower
from tidal.cli.tables import WIDTH, cut
from tidal.errors import ReplicationError, UsageError
from tidal.following import FollowerDb, open_follower

INTERVAL_DEFAULT: Final = 5.0
LIVE_SECONDS: Final = 0.2  # between two drawings on a terminal
LOOK_SECONDS: Final = 0.1  # between two looks whether it still follows
INTERVAL_MIN: Final = 0.05


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "follow",
        help="keep a copy of a store that another process writes",
        description="Follow a store over a transport until SIGTERM or Ctrl-C: begin its copy in PATH, or go "
        "on where it ends, and say how far it is. The leader is a program that calls db.ship(), or `tidal "
        "serve` with the same transport. The copy is read by other commands and processes meanwhile; `tidal "
        "promote` makes it the leader. When it cannot go on it says why, and ends with exit code 1.",
    )
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="the copy's folder; begun where there is none"
    )
    parser.add_argument("--name", help="of this follower among all of its leader (default: the machine's)")
    parser.add_argument("--region", type=int, default=0, help="whose log is followed (default: %(default)s)")
    parser.add_argument("--shard", type=int, default=0, help="which log is followed (default: %(default)s)")
    parser.add_argument(
        "--demote", action="store_true",
        help="PATH was a leader: have it follow the one that took its place, and cut off what that one lacks",
    )  # fmt: skip
    parser.add_argument(
        "--wait", default="30s", metavar="TIME",
        help="so long for a leader, where there is no copy yet (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--interval", type=float, default=INTERVAL_DEFAULT, metavar="SECONDS",
        help="between two lines, where the output is no terminal (default: %(default)s)",
    )  # fmt: skip
    add_metrics_options(parser)
    add_transport_options(parser, what="what carries the leader's log")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    if args.interval < INTERVAL_MIN:
        raise UsageError(f"--interval {args.interval}: choose seconds from {INTERVAL_MIN} on")
    if has_store(args.path) and not is_follower(args.path) and not args.demote:
        raise UsageError(
            f"{args.path} is a store that was written to, and no copy; if another node leads now, and this "
            "one is to follow it, say --demote"
        )
    with (
        ended_by_signals() as ending,
        open_transport(args) as transport,
        open_follower(
            args.path, transport, name=args.name, region=args.region, shard=args.shard,
            timeout=args.wait,
            metrics=metrics_option(args),
        ) as follower,
    ):  # fmt: skip
        _follow(follower, args, out, ending)
    return ExitCode.OK


def _follow(follower: FollowerDb, args: argparse.Namespace, out: TextIO, ending: Ending) -> None:
    said = _Said(follower, args, out)
    said.begin()
    try:
        while not ending.wait(LOOK_SECONDS):
            if (trouble := follower.trouble) is not None:
                raise ReplicationError(trouble)
            said.go_on()
    finally:
        said.end()


class _Said:
    """What is told of a follower: a live line on a terminal, else a line now and then."""

    def __init__(self, follower: FollowerDb, args: argparse.Namespace, out: TextIO) -> None:
        self._follower, self._path, self._out = follower, args.path, out
        self._as_json = args.format == "json"
        self._live = out.isatty() and not self._as_json
        self._interval = LIVE_SECONDS if self._live else args.interval
        self._told_at = time.monotonic()
        self._told_seq = follower.last_seq

    def begin(self) -> None:
        if not self._as_json:
            metrics = self._follower.metrics_address
            also = "" if metrics is None else f"; its metrics are at http://{metrics}/metrics"
            self._out.write(
                f"{self._path} follows as {self._follower.name!r} (process {os.getpid()}), from event "
                f"{self._follower.last_seq:,} on{also}; Ctrl-C ends it\n"
            )
        self._write(0.0)

    def go_on(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= self._interval:
            self._write(now - self._told_at)
            self._told_at, self._told_seq = now, self._follower.last_seq

    def end(self) -> None:
        self._write(0.0)
        if self._live:
            self._out.write("\n")
            self._out.flush()

    def _write(self, seconds: float) -> None:
        follower = self._follower
        lag, seq = follower.lag, follower.last_seq
        if self._as_json:
            line = json.dumps(
                {
                    "name": follower.name,
                    "pid": os.getpid(),
                    "epoch": follower.epoch,
                    "position": follower.position._asdict(),
                    "last_seq": seq,
                    "lag_events": lag.events,
                    "lag_seconds": lag.seconds,
                    "refused": follower.receiver.refused,
                }
            )
        else:
            line = follow_line(time.strftime("%H:%M:%S"), seq, follower.epoch, lag.events, lag.seconds)
            if seconds > 0 and seq > self._told_seq:
                line += f"  {(seq - self._told_seq) / seconds:,.0f}/s"
        self._out.write(f"\r{cut(line, WIDTH - 1):<{WIDTH - 1}}" if self._live else f"{line}\n")
        self._out.flush()


def follow_line(clock: str, seq: int, epoch: int, behind: int, seconds: float | None) -> str:
    """Return one line about a follower.

    >>> follow_line("12:00:00", 1234567, 3, 0, 0.04)
    '12:00:00  event 1,234,567  epoch 3  level, 0.0 s old'
    >>> follow_line("12:00:00", 0, 0, 0, None)
    '12:00:00  event 0  no leader was heard yet'
    """
    place = f"{clock}  event {seq:,}"
    if seconds is None:
        return f"{place}  no leader was heard yet"
    return f"{place}  epoch {epoch}  {f'{behind:,} behind' if behind else 'level'}, {seconds:,.1f} s old"
