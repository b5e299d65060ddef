"""The command as a function: arguments in, exit code and what was printed out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from orders import COLUMNS, ORDERS

from tidal.cli.main import main

DECLARE = ["--declare", "purchase half_life=7d,1d windows=1h,24h velocity"]


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture
def tidal_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(*arguments: object) -> Answer:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


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
