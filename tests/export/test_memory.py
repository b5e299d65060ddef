"""An export of a long range takes no more memory than one of a short range."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tidal
from tidal import ExportRequest
from tidal.opening import Wiring
from tidal.opening import arguments as opening_arguments

BATCH = 5_000


def test_memory_is_flat_over_any_range(
    tmp_path: Path, schema: tidal.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of 256 KiB; the short range has four blocks, the long one fifteen."""
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(segment_bytes=1 << 18))
    random = np.random.default_rng(1)
    with tidal.open(tmp_path / "s", schema=schema, sync="os") as db:
        for _ in range(200):
            ids = random.integers(0, 2**63, BATCH, dtype=np.uint64)
            db.ingest(signal="view", entity_id=ids, user_id=ids[::-1].copy())
        db.flush()

        def peak(until_seq: int) -> int:
            tracemalloc.start()
            try:
                written = db.export_signals(ExportRequest(all=True, until_seq=until_seq)).write(
                    tmp_path / "o.jsonl"
                )
                assert written.rows == until_seq
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(BATCH)  # what is made at first use
        # How much waits to be written differs from time to time; these have as many chunks as the long one.
        short = max(peak(60 * BATCH) for _ in range(4))
        long = peak(200 * BATCH)
        assert long < 1.1 * short
