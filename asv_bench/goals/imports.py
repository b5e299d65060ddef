"""P11: what ``import tidal`` takes, and the first database after it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from goals.bench import Bench
from goals.row import Row

OPTIONAL: Final = ("duckdb", "pandas", "polars", "pyarrow")

_PROGRAM: Final = f"""
import json, sys, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import tidal
end = time.perf_counter()
db = tidal.open(schema=tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build())
db.signal("view", 1)
used = time.perf_counter()
optional = [name for name in {OPTIONAL!r} if name in sys.modules]
print(json.dumps([middle - start, end - middle, used - end, optional]))
"""


def beyond_numpy(bench: Bench) -> Iterator[Row]:
    """Milliseconds in a fresh process that has imported NumPy; no optional dependency may come with it.

    The bytecode is there, as an installation leaves it, whatever the environment says about writing it.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bench.folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    _import(environment)  # compiles
    taken = [_import(environment) for _ in range(4 * bench.passes)]
    numpy, beyond, first = (statistics.median(times) * 1e3 for times in zip(*taken, strict=True))
    yield Row("P11", "import tidal, after NumPy", beyond, "ms", "", 40, at_most=1)
    yield Row("", "first open() and signal()", first, "ms")
    yield Row("", "import numpy", numpy, "ms")


def _import(environment: dict[str, str]) -> tuple[float, float, float]:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    numpy, beyond, first, optional = json.loads(run.stdout)
    if optional:
        raise RuntimeError(f"import tidal imports {', '.join(optional)}, which users may not have")
    return numpy, beyond, first
