"""The two ends of the worker's pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import tidal
from tidal.demo.retail import ROWS
from tidal.demo.worker import BATCH_ROWS, run_worker, work
from tidal.errors import TidalError

SKIP = ROWS - 3 * BATCH_ROWS


def test_each_line_is_a_durable_sequence_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    work(tmp_path / "s", SKIP, out)
    assert [int(line.split()[0]) for line in out.getvalue().splitlines()] == [
        BATCH_ROWS * n for n in (1, 2, 3)
    ]
    work(tmp_path / "s", SKIP, out := io.StringIO())
    assert out.getvalue() == ""
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert db.last_seq == 3 * BATCH_ROWS


def test_a_killed_worker_left_what_it_said_and_the_next_one_ends_the_job(tmp_path: Path) -> None:
    heard: list[int] = []
    last = run_worker(tmp_path / "s", SKIP, heard.append, kill_at=BATCH_ROWS)
    assert heard[0] == BATCH_ROWS and last.seq == heard[-1]
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert last.seq <= db.last_seq <= 3 * BATCH_ROWS
    run_worker(tmp_path / "s", SKIP, heard.append)
    assert heard[-1] == 3 * BATCH_ROWS


def test_a_worker_that_fails_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").touch()
    with pytest.raises(TidalError, match="exit code 1"):
        run_worker(tmp_path / "s", SKIP, lambda seq: None)
    assert "Error" in capfd.readouterr().err
