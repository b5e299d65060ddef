"""A guard against hot paths that became slower: instructions counted by callgrind, which no load changes.

The limits are about twice what was counted when they were set, so that other compilers and versions of
Python pass, and an algorithm, a lost compiled path or a lost pass with vectors does not.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import counted_work
import pytest

LIMITS = {"ingest": 350, "replay": 450, "signal": 3_500, "score": 2_200}  # instructions an event, or a call
MARKS = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void stop(const char *name) { CALLGRIND_STOP_INSTRUMENTATION; CALLGRIND_DUMP_STATS_AT(name); }
"""

pytestmark = [
    pytest.mark.valgrind,
    pytest.mark.skipif(
        shutil.which("valgrind") is None, reason="valgrind is not installed: nothing is counted"
    ),
    pytest.mark.skipif("TIDAL_DEBUG" in os.environ, reason="a debug build has other instructions"),
]


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The instructions of each work, for an event or a call; counted in one process."""
    folder = tmp_path_factory.mktemp("callgrind")
    command = [
        "valgrind",
        "--tool=callgrind",
        "--instr-atstart=no",
        f"--callgrind-out-file={folder / 'counts'}",
    ]
    program = [sys.executable, counted_work.__file__, str(_marks(folder))]
    alone = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([*command, *program], env=os.environ | alone, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    dumps = [path.read_text() for path in sorted(folder.glob("counts.*"))]
    found = {_field(dump, "desc: Trigger: Client Request"): int(_field(dump, "totals")) for dump in dumps}
    amounts = {
        "ingest": counted_work.EVENTS,
        "replay": counted_work.WORDS,
        "signal": counted_work.CALLS,
        "score": counted_work.CALLS,
    }
    return {name: found[name] / amount for name, amount in amounts.items()}


def _marks(folder: Path) -> Path:
    """Compile what tells callgrind where to begin and to end; skip where that cannot be."""
    source, library = folder / "marks.c", folder / "marks.so"
    source.write_text(MARKS)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C compiler ($CC or cc) is on the path: callgrind cannot be told where to count")
    build = subprocess.run(
        [*compiler, "-shared", "-fPIC", source, "-o", library], capture_output=True, text=True
    )
    if build.returncode != 0:
        pytest.skip(f"valgrind's headers are not installed: {build.stderr.splitlines()[0]}")
    return library


def _field(dump: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", dump, re.MULTILINE)
    assert found is not None, f"callgrind's file has no {name}:\n{dump[:1000]}"
    return found[1]


@pytest.mark.parametrize("work", LIMITS)
def test_a_hot_path_stays_short(work: str, counts: dict[str, float]) -> None:
    assert 0 < counts[work] <= LIMITS[work]
