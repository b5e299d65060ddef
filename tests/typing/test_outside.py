"""The types of the public API, as mypy --strict sees them from a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("outside.py")


def test_a_strict_program_sees_the_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is in the dependency group lint")
    cache = Path(__file__).parents[2] / ".mypy_cache"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(cache)]
    done = subprocess.run(
        [*command, str(PROGRAM)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stdout + done.stderr
