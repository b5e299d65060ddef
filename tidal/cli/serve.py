"""`tidal serve STORE`: the HTTP service of a store, in this process."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.carrying import add_transport_options, has_transport, open_transport
from tidal.cli.exit_codes import ExitCode
from tidal.cli.measured import add_metrics_options, metrics_option
from tidal.cli.output import add_format_option
from tidal.cli.store import has_store
from tidal.db import TidalDb
from tidal.errors import StoreMissing, TidalError, UsageError
from tidal.meters import said
from tidal.opening import open as open_db
from tidal.page import SAMPLE_SECONDS

TOKENS_VARIABLE: Final = "TIDAL_TOKENS"
PORT_DEFAULT: Final = 8420

_logger = logging.getLogger("tidal.serve")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="answer for a store over HTTP",
        description="Open a store and answer for it over HTTP, to this machine unless told otherwise, until "
        "SIGTERM or Ctrl-C. What is asked is logged to standard error, a JSON object a line. "
        f"Tokens come from --tokens or from the environment variable {TOKENS_VARIABLE}, each a line NAME "
        "SCOPES TOKEN with scopes of read, write, export joined by commas. Without tokens only this machine "
        "is answered, and everybody on it may do all.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=PORT_DEFAULT, help="default: %(default)s; 0: any that is free"
    )
    parser.add_argument("--tokens", type=Path, metavar="FILE", help="file of tokens, mode 0600")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate with its chain, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="key of the certificate, PEM")
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="a proxy in front has TLS: listen beyond this machine without",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the service goes by, as clients write it; repeatable; '*' is any",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="answer for a store that another process writes"
    )
    parser.add_argument(
        "--refresh",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="with --read-only, look so often for what was written since (default: %(default)s)",
    )
    add_metrics_options(parser)
    parser.add_argument(
        "--name", default="leader", help="of this node, for those that follow (default: %(default)s)"
    )
    parser.add_argument(
        "--follower",
        action="append",
        default=[],
        metavar="NAME",
        help="a follower for which the log is kept until it has it; repeatable",
    )
    add_transport_options(parser, what="ship the log to followers")
    add_format_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    serve = importlib.import_module("tidal.serve")
    listening = importlib.import_module("tidal.serve.listening")
    logs = importlib.import_module("tidal.serve.logs")
    tokens, tls = _tokens(args, serve.Tokens), _tls(args, listening.Tls)
    listening.check_place(args.host, args.port, tokens=tokens, tls=tls, behind_proxy=args.behind_proxy)
    if not 0 < args.refresh <= threading.TIMEOUT_MAX:
        raise UsageError(f"--refresh {args.refresh}: choose seconds, more than 0")
    if not has_store(args.store):
        raise StoreMissing(f"{args.store} is not a store; load one first, or give the schema to tidal.open()")
    hosts = [*serve.LOOPBACK_HOSTS, _as_in_url(args.host), *args.allow_host]
    serve.check_hosts(hosts, tokens)
    if args.read_only and has_transport(args):
        raise UsageError("--read-only: who does not write has nothing to ship")
    with (
        _logged(logs.JsonFormatter(), err),
        open_transport(args) if has_transport(args) else contextlib.nullcontext() as transport,
        open_db(args.store, read_only=args.read_only, metrics=metrics_option(args)) as db,
        _refreshed(db, args.refresh),
    ):
        if not db.read_only:
            db.jobs.list()  # what an earlier process left goes on now, not with the first request
        if transport is not None:
            db.ship(transport, name=args.name, followers=args.follower)
        app = serve.create_app(db, tokens=tokens, hosts=hosts)
        service = listening.Service(app, args.host, args.port, tls=tls)
        _say_where(args, out, service.url, db.metrics_address)
        with _repeated(app.state.snapshots.sample, SAMPLE_SECONDS, "tidal-page"):
            service.run()
    return ExitCode.OK


def _say_where(args: argparse.Namespace, out: TextIO, url: str, metrics: str | None) -> None:
    if args.format == "json":
        where = {"url": url, "pid": os.getpid()} | ({} if metrics is None else {"metrics": metrics})
        out.write(json.dumps(where) + "\n")  # one line: it goes on
    else:
        also = "" if metrics is None else f", its metrics at http://{metrics}/metrics"
        out.write(f"{args.store} is served at {url}{also} (process {os.getpid()}); Ctrl-C ends it\n")
    out.flush()


def _as_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tokens(args: argparse.Namespace, kind: Any) -> Any:
    if args.tokens is not None:
        return kind.from_file(args.tokens)
    text = os.environ.pop(TOKENS_VARIABLE, None)  # no process that is started from here shall have it
    return None if text is None else kind.parse(text)


def _tls(args: argparse.Namespace, kind: Any) -> Any:
    if (args.tls_cert is None) != (args.tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    return None if args.tls_cert is None else kind(args.tls_cert, args.tls_key)


@contextlib.contextmanager
def _logged(formatter: logging.Formatter, err: TextIO) -> Iterator[None]:
    """Send the log of tidal and of the server to a stream, while the block runs."""
    handler = logging.StreamHandler(err)
    handler.setFormatter(formatter)
    loggers = [logging.getLogger(name) for name in ("tidal", "uvicorn")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


@contextlib.contextmanager
def _refreshed(db: TidalDb, seconds: float) -> Iterator[None]:
    """Have a database that only reads look for what was written since, while the block runs."""
    if not db.read_only:
        yield
        return

    def refresh() -> None:
        try:
            db.refresh()
        except TidalError as error:  # it may pass; until then what is known is answered
            about = said("refresh_failed", error_type=type(error).__name__)
            _logger.warning("the store could not be looked at anew", exc_info=error, extra=about)

    with _repeated(refresh, seconds, "tidal-refresh"):
        yield


@contextlib.contextmanager
def _repeated(call: Callable[[], None], seconds: float, name: str) -> Iterator[None]:
    """Call something every so many seconds, in a thread of its own, while the block runs."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
