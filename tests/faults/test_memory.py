"""Memory that is not to be had: an error, and nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from bytekit import nomemory

import tidal

pytest.importorskip(
    "_testcapi", reason="this CPython was built without its own tests, which fail allocations"
)

# Sparse enough for every change; tests/soak/memory.py takes each allocation.
STEPS = {"open": 1499, "signal": 67, "ingest": 97, "checkpoint": 67, "read": 23}


@pytest.mark.parametrize("name", nomemory.CALLS)
def test_an_allocation_that_fails_costs_the_call_and_no_event(tmp_path: Path, name: str) -> None:
    nomemory.make_store(tmp_path / "whole")
    outcome = nomemory.sweep(name, tmp_path, STEPS[name], offset=5)
    assert outcome.problems == []
    assert outcome.outcomes["MemoryError"] >= 2


@pytest.mark.parametrize("limit", ["RLIMIT_DATA", "RLIMIT_AS"])
def test_growth_beyond_a_limit_is_a_memory_error_and_the_store_is_whole(tmp_path: Path, limit: str) -> None:
    """The core grows its records and indexes by mmap and mprotect, not through Python's allocator."""
    program = textwrap.dedent("""
        import resource, sys
        import numpy as np
        import tidal
        schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h", "7d")).build()
        db = tidal.open(sys.argv[1], schema=schema, clock="event", checkpoint_bytes=None, sync="os")
        db.ingest(signal="view", entity_id=np.arange(1000), timestamp=np.arange(1000))
        sizes = dict(line.split(":", 1) for line in open("/proc/self/status"))
        used = int(sizes["VmData" if sys.argv[2] == "RLIMIT_DATA" else "VmSize"].split()[0]) << 10
        resource.setrlimit(getattr(resource, sys.argv[2]), (used + (64 << 20),) * 2)
        for part in range(1, 100):
            ids = np.arange(part * 100_000, (part + 1) * 100_000)
            try:
                done = db.ingest(signal="view", entity_id=ids, timestamp=ids)
            except (MemoryError, tidal.TidalError) as error:
                print(type(error).__name__, acknowledged)
                break
            acknowledged = done.last_seq
        """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s"), limit],
        capture_output=True,
        text=True,
        timeout=240,
    )
    name, acknowledged = done.stdout.split() or ("nothing", "0")
    assert name in ("MemoryError", "StorePoisoned", "StoreClosed"), done.stderr
    with tidal.open(tmp_path / "s", clock="event") as db:
        assert db.last_seq >= int(acknowledged) >= 100_000
        assert db.count("view", 1, "all") == 1
        assert db.count("view", int(acknowledged) + 98_000, "all") == 1
