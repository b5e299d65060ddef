"""Options that say where a command serves metrics."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from tidal.errors import UsageError


def add_metrics_options(parser: argparse.ArgumentParser) -> None:
    """Add --metrics and --metrics-remote."""
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve metrics for Prometheus there, without tokens; as 127.0.0.1:9464",
    )
    parser.add_argument(
        "--metrics-remote", action="store_true", help="other machines may reach the metrics and their page"
    )


def metrics_option(args: argparse.Namespace) -> Any:
    """Return what ``metrics=`` of tidal.open() is to be; UsageError."""
    if args.metrics is None:
        if args.metrics_remote:
            raise UsageError("--metrics-remote says who may reach --metrics, which is not given")
        return None
    return importlib.import_module("tidal.metrics").Metrics(args.metrics, remote=args.metrics_remote)
