"""The command as a function: arguments in, exit code and what was printed out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Answer, as_function
from orders import COLUMNS, ORDERS

from tidal.cli.main import main

DECLARE = ["--declare", "purchase half_life=7d,1d windows=1h,24h velocity"]


@pytest.fixture
def tidal_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    return as_function(main, capsys)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    return path


@pytest.fixture
def shop(tmp_path: Path, orders: Path, tidal_command: Callable[..., Answer]) -> Path:
    """A store that holds the orders."""
    store = tmp_path / "shop"
    answer = tidal_command("load", orders, "--db", store, *DECLARE, "--signal", "purchase", *COLUMNS)
    assert answer.code == 0
    return store
