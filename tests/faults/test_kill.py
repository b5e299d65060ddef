"""kill -9, a thousand times: at random moments and in chosen calls, also while recovering."""

from __future__ import annotations

from pathlib import Path

from faultkit.soak import run_program


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    figures = run_program("kill", tmp_path / "kill.json", "--cycles", "1000", "--workers", "2")
    assert figures["kills"] >= 700
    assert figures["kills in recovery"] >= 100
    assert figures["kinds of death"] >= 18
