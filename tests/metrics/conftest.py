"""A store in which everything that is counted has happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from busy import busy_store

import tidal


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tidal.TidalDb]:
    folder: Path = tmp_path_factory.mktemp("busy")
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(busy_store(folder / "store"))
