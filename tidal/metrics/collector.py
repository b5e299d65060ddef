"""Families of metrics as the text that Prometheus reads; here alone prometheus-client is needed."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tidal.db import TidalDb
from tidal.errors import MissingExtra
from tidal.metrics.families import families
from tidal.metrics.family import PARTITION, Family

if TYPE_CHECKING:
    from prometheus_client import Metric


class Exposition:
    """All metrics of one database and of its process, in a registry of their own. ``shards``: the stores that
    it is, by number.
    """

    def __init__(self, shards: Mapping[int, TidalDb]) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._shards = shards
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

    def collect(self) -> Iterable[Metric]:
        """Return each family as prometheus-client has it, of all shards; called by its registry."""
        metrics: dict[str, Metric] = {}
        for shard, db in self._shards.items():
            for family in families(db):
                if family.name not in metrics:
                    metrics[family.name] = _metric(family)
                _add_samples(metrics[family.name], family, str(shard))
        return metrics.values()


def _metric(family: Family) -> Metric:
    from prometheus_client import Metric

    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    return Metric(name, family.text, family.kind)


def _add_samples(metric: Metric, family: Family, shard: str) -> None:
    for values, value in family.values.items():
        metric.add_sample(family.name, _labels(family, values, shard), value)
    for values, found in family.distributions.items():
        labels = _labels(family, values, shard)
        for bound, count in found.buckets:
            metric.add_sample(family.name + "_bucket", {**labels, "le": _bound(bound)}, count)
        metric.add_sample(family.name + "_count", labels, found.buckets[-1][1])
        metric.add_sample(family.name + "_sum", labels, found.total)


def _labels(family: Family, values: tuple[str, ...], shard: str) -> dict[str, str]:
    return {PARTITION: shard, **dict(zip(family.labels, values, strict=True))}


def _bound(bound: float) -> str:
    """Return a bound as Prometheus writes it, so that a series has the same name whoever writes it out."""
    return "+Inf" if bound == math.inf else repr(bound)
