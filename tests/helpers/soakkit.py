"""What every soak program shares: a progress line, and the result as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

NOT_HERE: Final = 77  # what a program returns that needs root, a mount or a tool that is missing

_SECONDS_BETWEEN = 1.0
_VIOLATIONS_KEPT = 50


class Progress:
    """A line on stderr with count, rate and the time that is left, renewed about once a second."""

    def __init__(self, total: int, unit: str) -> None:
        self.done, self._total, self._unit = 0, total, unit
        self._begin = self._shown = time.monotonic()
        self._note = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin

    def add(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self._shown >= _SECONDS_BETWEEN:
            self._show()

    def note(self, text: str) -> None:
        """Show a few words behind the figures from now on."""
        self._note = text

    def _show(self) -> None:
        self._shown = time.monotonic()
        rate = self.done / max(self.seconds, 1e-9)
        left = max(0, self._total - self.done) / rate if rate else 0.0
        line = (
            f"{self.done:>12,} of {self._total:,} {self._unit}  {self.seconds:8.0f} s  {rate:10,.1f}/s"
            f"  {left:7.0f} s left  {self._note}"
        )
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        self._show()
        if sys.stderr.isatty():
            print(file=sys.stderr)


@contextlib.contextmanager
def told(violations: list[str]) -> Iterator[None]:
    """Count what the block raises as a violation, with its traceback: the report is still to be written."""
    try:
        yield
    except Exception:
        violations.append(traceback.format_exc())


def finish(
    out: str | os.PathLike[str] | None,
    *,
    program: str,
    seconds: float,
    figures: Mapping[str, Any],
    violations: Sequence[str],
) -> int:
    """Print the result, write it to ``out`` if given, and return the exit code: 1 if there are violations."""
    result = {
        "program": program,
        "seconds": round(seconds, 1),
        "figures": dict(figures),
        "violations": len(violations),
        "first_violations": list(violations[:_VIOLATIONS_KEPT]),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 1 if violations else 0
