"""A thousand Ctrl-C in the middle of calls: what the program counted is what the log holds."""

from __future__ import annotations

from pathlib import Path

from faultkit.soak import run_program


def test_ctrl_c_leaves_whole_batches_or_nothing(tmp_path: Path) -> None:
    figures = run_program("signals", tmp_path / "signals.json", "--interruptions", "1000")
    assert figures["interruptions"] >= 1000
    assert figures["drift"] == 0
    # It struck before the write, between the write and the acknowledgement, and between log and state.
    assert min(figures["undone whole"], figures["left in the log whole"], figures["opened again"]) > 0
