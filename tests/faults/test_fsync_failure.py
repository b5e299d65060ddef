"""Syncs that fail for real, below ext4 and XFS: no false acknowledgement, nothing that comes and goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from faultkit.soak import run_program


@pytest.mark.mounts
def test_a_failed_sync_is_final(tmp_path: Path) -> None:
    figures = run_program("fsync_failure", tmp_path / "fsync.json", "--cycles", "20")
    assert figures["failed syncs"] == figures["cycles"] == 20
    assert figures["opened in the same boot"] + figures.get("file system gave up", 0) == 20
