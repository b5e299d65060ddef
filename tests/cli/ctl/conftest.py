"""tidalctl as a function, and a store that has lived."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Answer, as_function
from worn import make_store

from tidal.cli.ctl.main import main


@pytest.fixture
def tidalctl(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    return as_function(main, capsys)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("worn") / "store")


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))
