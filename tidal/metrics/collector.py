"""Families of metrics as the text that Prometheus reads; here alone prometheus-client is needed."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidal.db import TidalDb
from tidal.errors import MissingExtra
from tidal.metrics.families import families
from tidal.metrics.family import PARTITION, Family

if TYPE_CHECKING:
    from prometheus_client import Metric


class Exposition:
    """All metrics of one database and of its process, in a registry of their own."""

    def __init__(self, db: TidalDb) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._db = db
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    @staticmethod
    def check_installed() -> None:
        """Raise MissingExtra without prometheus-client."""
        try:
            importlib.import_module("prometheus_client")
        except ImportError as error:
            raise MissingExtra("prometheus-client", "metrics", "metrics=") from error

    def text(self, accept: str = "") -> tuple[str, bytes]:
        """Return the media type and the text that an Accept header asks for. StoreClosed."""
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        return media_type, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield each family as prometheus-client has it; called by its registry."""
        return map(_metric, families(self._db))


def _metric(family: Family) -> Metric:
    from prometheus_client import Metric

    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    metric = Metric(name, family.text, family.kind)
    for values, value in family.values.items():
        metric.add_sample(family.name, _labels(family, values), value)
    for values, found in family.distributions.items():
        labels = _labels(family, values)
        for bound, count in found.buckets:
            metric.add_sample(family.name + "_bucket", {**labels, "le": _bound(bound)}, count)
        metric.add_sample(family.name + "_count", labels, found.buckets[-1][1])
        metric.add_sample(family.name + "_sum", labels, found.total)
    return metric


def _labels(family: Family, values: tuple[str, ...]) -> dict[str, str]:
    return dict([PARTITION, *zip(family.labels, values, strict=True)])


def _bound(bound: float) -> str:
    """Return a bound as Prometheus writes it, so that a series has the same name whoever writes it out."""
    return "+Inf" if bound == math.inf else repr(bound)
