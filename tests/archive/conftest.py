"""A log in a temporary store, small segments, and its archive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from archivekit import Store

from tidal.errors import TidalError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store")
    yield made
    with contextlib.suppress(TidalError):  # a test may have poisoned it
        made.log.close()
