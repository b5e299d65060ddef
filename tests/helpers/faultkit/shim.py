"""Compiles shim.c and runs a piece of Python under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def compile_shim(folder: Path) -> Path:
    library = folder / "shim.so"
    command = [
        str(compiler()),
        "-O1",
        "-Wall",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(_SOURCE),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True)
class Outcome:
    code: int
    said: str
    struck: int  # calls that the shim failed or shortened


def run_under(library: Path, program: str, *arguments: str, path: str, rules: str, log: Path) -> Outcome:
    """Run a program; calls on files whose path contains ``path`` are struck as ``rules`` say (see shim.c)."""
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ
        | {
            "LD_PRELOAD": str(library),
            "TIDAL_SHIM_PATH": path,
            "TIDAL_SHIM_RULES": rules,
            "TIDAL_SHIM_LOG": str(log),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout + done.stderr, log.stat().st_size if log.exists() else 0)
