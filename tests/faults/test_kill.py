"""kill -9, thousands of times: at random moments and in chosen calls, also while recovering."""

from __future__ import annotations

from pathlib import Path

from faultkit.soak import run_program


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    figures = run_program("kill", tmp_path / "kill.json", "--cycles", "5000", "--workers", "2")
    assert figures["kills"] >= 4000
    assert figures["kills in recovery"] >= 1000
    assert figures["kinds of death"] >= 18
