"""Compiled modules, and the commit they are built from. Everything else is declared in pyproject.toml."""

import multiprocessing
import os
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

DEBUG = bool(os.environ.get("TIDAL_DEBUG"))

SOURCES = sorted(Path("_ext").glob("*.pyx"))
CONTRACTS = sorted([*Path("tidal/_ext").glob("*.pxd"), *Path("tidal/_ext").glob("*.h")])
GENERATED = Path("build/cython-debug" if DEBUG else "build/cython")

# -ffp-contract=off: a fused multiply-add rounds once where two operations round twice, so a
# machine with FMA would hold other bytes than one without. Equal logs must give equal bytes.
OPTIMISED = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
PROCESSORS = os.cpu_count() or 1
# cythonize() starts processes that would begin with this file where they are not forked.
CYTHONISERS = PROCESSORS if multiprocessing.get_start_method() == "fork" else 0
COMPILE_ARGS = ["-O0", "-g", "-ffp-contract=off"] if DEBUG else OPTIMISED


def contract_changed() -> bool:
    """Return whether a .pxd or .h is newer than some generated C file.

    cythonize() looks for a module's own .pxd beside its .pyx. Ours live in
    tidal/_ext, so on its own it would miss an edit there and leave two
    modules compiled against different record layouts.
    """
    times = [c.stat().st_mtime for c in GENERATED.rglob("*.c")]
    return bool(times) and max(p.stat().st_mtime for p in CONTRACTS) > min(times)


def commit() -> str | None:
    """Return the abbreviated commit of this checkout; None where it is none, an unpacked sdist say."""
    if not Path(".git").exists():  # a folder above may be somebody else's repository
        return None
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def note_commit(folder: str) -> None:
    """Write the commit beside tidal/build.py, which reads it. An sdist has it already."""
    if (found := commit()) is not None:
        Path(folder, "tidal", "build.txt").write_text(found + "\n")


class BuildExt(build_ext):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or PROCESSORS


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # what is used in place is whatever lies there
            note_commit(self.build_lib)


class Sdist(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        note_commit(base_dir)


setup(
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy, "sdist": Sdist},
    ext_modules=cythonize(
        [
            Extension(
                f"tidal._ext.{source.stem}",
                [source.as_posix()],
                include_dirs=["tidal/_ext"],
                depends=[header.as_posix() for header in CONTRACTS],
                extra_compile_args=COMPILE_ARGS,
            )
            for source in SOURCES
        ],
        build_dir=GENERATED.as_posix(),
        nthreads=CYTHONISERS,
        force=contract_changed(),
        annotate=DEBUG,
        compiler_directives={
            "language_level": "3",
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "embedsignature": True,
        },
    ),
)
