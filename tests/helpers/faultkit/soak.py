"""A soak program run by a test: in a process of its own, its result read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).parents[2] / "soak" / "run.py"


def run_program(name: str, out: Path, *arguments: str, seconds: float = 280) -> dict[str, Any]:
    """Return the result of a soak program that must have found no violation."""
    done = subprocess.run(
        [sys.executable, str(RUNNER), name, *arguments, "--out", str(out)],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert result["violations"] == 0
    print(f"{name}: {result['figures']} in {result['seconds']} s")
    return result["figures"]  # type: ignore[no-any-return]
