"""A process that appends is killed at random moments: what it acknowledged is there, and nothing else."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tidal.durable import OsFileSystem
from tidal.format.segment import LogIdentity
from tidal.wal import read_batches, repair_tail, scan_log

CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from tidal.durable import OsFileSystem
from tidal.format.segment import LogIdentity
from tidal.schema.events import EventBatch
from tidal.wal import LogWriter, parse_sync, repair_tail, scan_log

directory, sync, epoch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fs, identity = OsFileSystem(), LogIdentity(bytes(16), epoch)
scan = repair_tail(fs, scan_log(fs, directory, identity), directory.parent / "quarantine")
writer = LogWriter(fs, directory, identity=identity, next_seq=scan.last_seq + 1, previous_hash=scan.head_hash,
                   sync=parse_sync(sync), wall_clock=time.time_ns, monotonic=time.monotonic,
                   segment_bytes=4000)
sys.stdout.write(f"{scan.last_seq}\\n")
while True:
    count = 1 + writer.last_seq % 3
    ids = np.arange(count, dtype=np.uint64) + np.uint64(writer.last_seq + 1)
    zeros = np.zeros(count, np.uint8)
    first, last = writer.append(EventBatch(ids, zeros, np.ones(count, np.float32), ids.view(np.int64)))
    writer.commit(last)
    sys.stdout.write(f"{last}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("sync", ["group", "os"])
def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, sync: str) -> None:
    directory = tmp_path / "wal"
    directory.mkdir()
    fs, pauses = OsFileSystem(), random.Random(11)
    for epoch in range(1, 8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory), sync, str(epoch)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(pauses.randrange(2, 60))]
        child.kill()
        acknowledged += [
            int(line) for line in child.stdout.read().splitlines(keepends=True) if line[-1:] == b"\n"
        ]
        child.wait()
        child.stdout.close()
        scan = scan_log(fs, directory, LogIdentity(bytes(16), epoch))
        assert scan.last_seq >= acknowledged[-1]
        events = [int(i) for _, batch in read_batches(fs, directory) for i in batch.entity_id]
        assert events == list(range(1, scan.last_seq + 1))
    repaired = repair_tail(fs, scan_log(fs, directory, LogIdentity(bytes(16), 8)), tmp_path / "quarantine")
    assert repaired.last_seq == scan.last_seq
    assert len(repaired.segments) > 7
