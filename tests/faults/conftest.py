"""Tests that need root and mounts run in ``make test-faults`` alone, and say so elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultkit.mounts import why_not
from faultkit.places import fast_folder

_ASKED = "TIDAL_TEST_FAULTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    asked = os.environ.get(_ASKED) == "1"
    reason = why_not() if asked else "runs in `make test-faults`, as root"
    if reason is not None:
        for item in items:
            if item.get_closest_marker("mounts") is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: what is tested is above the disk."""
    with fast_folder(tmp_path) as place:
        yield place
