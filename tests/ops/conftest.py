"""Stores in which everything that is counted has happened, and the names of its metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from busy import busy_store
from linked import STREAM, linked_pair, linked_regions
from prometheus_client.parser import text_string_to_metric_families
from scraping import ask
from waiting import until

import tidal


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tidal.TidalDb]:
    with busy_store(tmp_path_factory.mktemp("busy") / "store") as db:
        yield db


@pytest.fixture(scope="session")
def exposition(busy: tidal.TidalDb) -> str:
    """All that the metrics port of a store by itself says."""
    return told(busy)


@pytest.fixture(scope="session")
def expositions(exposition: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same, and what a leader, its follower, a region, and a store that ingests from a broker say."""
    folders = [tmp_path_factory.mktemp(name) for name in ("linked", "regions")]
    with linked_pair(folders[0]) as pair, linked_regions(folders[1]) as two:
        pair.leader._links.attach(STREAM.stream, lambda: STREAM)
        until(two.agree)
        return [exposition, told(pair.leader), told(pair.follower), told(two.dbs[0])]


def told(db: tidal.TidalDb) -> str:
    return ask(db.metrics_address, "/metrics")[2].decode()


@pytest.fixture(scope="session")
def families(expositions: list[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """Each metric by name: its type, and its labels."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for family in (each for text in expositions for each in text_string_to_metric_families(text)):
        labels = frozenset(name for sample in family.samples for name in sample.labels)
        name = family.name + ("_total" if family.type == "counter" else "")
        known = found.get(name, (family.type, frozenset()))
        assert known[0] == family.type
        found[name] = family.type, known[1] | labels - {"le", "partition_id"}
    return found
