"""Options that name what carries messages between nodes, and the transport that they mean."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any, Final

from tidal.errors import UsageError
from tidal.replay.objects import object_store
from tidal.replication import Transport

PREFIX_DEFAULT: Final = "tidal"


def add_transport_options(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Add --nats and --object, of which one is given, and what goes with them."""
    group = parser.add_argument_group("transport", f"{what}; one of --nats and --object")
    group.add_argument(
        "--nats", action="append", default=[], metavar="URL",
        help="a NATS server with JetStream, nats://HOST:PORT; repeatable for the servers of a cluster",
    )  # fmt: skip
    group.add_argument(
        "--object", metavar="FOLDER_OR_URL", help="a folder that all nodes reach, or an object store's URL"
    )
    group.add_argument(
        "--prefix", default=PREFIX_DEFAULT,
        help="which of several stores shares the servers or the folder; the same on all nodes "
        "(default: %(default)s)",
    )  # fmt: skip
    group.add_argument("--replicas", type=int, metavar="N", help="of --nats: on how many servers; 1, 3 or 5")
    group.add_argument("--credentials", type=Path, metavar="FILE", help="of --nats: a .creds file")


def has_transport(args: argparse.Namespace) -> bool:
    """Return whether a transport is named."""
    return bool(args.nats or args.object)


def open_transport(args: argparse.Namespace) -> Transport:
    """Return the transport that is named. UsageError unless exactly one is; errors as of the transports."""
    if bool(args.nats) == bool(args.object):
        raise UsageError("name what carries the messages: --nats URL or --object FOLDER_OR_URL")
    if args.object:
        if args.replicas is not None or args.credentials is not None:
            raise UsageError("--replicas and --credentials are of --nats")
        objects = importlib.import_module("tidal.transports.objects")
        carrying: Transport = objects.ObjectTransport(_object_store(args.object), args.prefix)
        return carrying
    nats = importlib.import_module("tidal.transports.nats")
    options = {} if args.credentials is None else {"user_credentials": str(args.credentials)}
    transport: Transport = nats.NatsTransport(
        args.nats, args.prefix, replicas=1 if args.replicas is None else args.replicas, options=options
    )
    return transport


def _object_store(where: str) -> Any:
    if "://" in where:
        return object_store(where)
    if not Path(where).is_dir():
        raise UsageError(f"{where} is not a folder; make it, where all nodes reach it")
    return object_store(Path(where).resolve().as_uri())
