"""A store in which everything that is counted has happened, and the names of its metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from busy import busy_store
from prometheus_client.parser import text_string_to_metric_families
from scraping import ask

import tidal


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tidal.TidalDb]:
    with busy_store(tmp_path_factory.mktemp("busy") / "store") as db:
        yield db


@pytest.fixture(scope="session")
def exposition(busy: tidal.TidalDb) -> str:
    """All that the metrics port says."""
    return ask(busy.metrics_address, "/metrics")[2].decode()


@pytest.fixture(scope="session")
def families(exposition: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each metric by name: its type, and its labels."""
    found = {}
    for family in text_string_to_metric_families(exposition):
        labels = frozenset(name for sample in family.samples for name in sample.labels)
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = family.type, labels - {"le", "partition_id"}
    return found
