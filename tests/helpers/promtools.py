"""Prometheus and promtool, where they are installed; else the test that asks says so and is skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

OPS: Final = Path(__file__).parents[2] / "docs" / "ops"
METRIC: Final = re.compile(r"\b(?:tidaldb|process)_\w+")


def tool(name: str) -> str:
    """Return the path of a program of Prometheus."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install prometheus")
    return found


def promtool(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool and return what came of it."""
    command = [tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)


def families_of(text: str) -> set[str]:
    """Return the metrics that an expression, or any text, names; histograms and counters as families."""
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in METRIC.findall(text)}
