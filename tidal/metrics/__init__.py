"""Metrics of a database over HTTP: a thread beside it that answers ``/metrics`` and ``/healthz``."""

from tidal.metrics.address import Metrics, checked_metrics
from tidal.metrics.port import MetricsPort, listen

__all__ = ["Metrics", "MetricsPort", "checked_metrics", "listen"]
