"""Real power cuts under ext4 and XFS: nothing acknowledged under its policy is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from faultkit.mounts import KINDS, available
from faultkit.soak import run_program


@pytest.mark.mounts
def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path) -> None:
    figures = run_program(
        "power_cut", tmp_path / "power.json", "--cycles", "2460", "--workers", "2", seconds=1500
    )
    assert figures["power cuts"] >= 2000
    assert figures["cuts in recovery"] >= 400
    for kind in KINDS:
        assert not available(kind) or figures[f"on {kind.name}"] > 0
