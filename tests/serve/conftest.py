"""A store with a clock that stands still, and a client that may do all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servicekit import NOW, SCHEMA, service
from starlette.testclient import TestClient

import tidal


@pytest.fixture
def db(tmp_path: Path) -> Iterator[tidal.TidalDb]:
    with tidal.open(tmp_path / "store", schema=SCHEMA, clock=lambda: NOW, sync="os") as db:
        yield db


@pytest.fixture
def client(db: tidal.TidalDb) -> Iterator[TestClient]:
    with service(db) as client:
        yield client
