"""A store with an archive and a log, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from worn import make_store


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that no test changes: 360 events, the first 240 of them archived, in six files."""
    return make_store(tmp_path_factory.mktemp("replay") / "store")


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    """A copy of that store."""
    return Path(shutil.copytree(original, tmp_path / "store"))
