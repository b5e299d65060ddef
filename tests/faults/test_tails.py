"""A torn end of the log is told from damage to what was synced; and the means to tell are armed."""

from __future__ import annotations

import collections
import random
from pathlib import Path

import numpy as np
import pytest
from bytekit import tails
from bytekit.segments import random_batch

import tidal
from tidal.format.frame import Frame, decode_frame
from tidal.format.segment import SEAL_MAGIC, SEGMENT_HEADER, decode_segment_header
from tidal.store import StorePaths

CASES = 10_000
LOGS = 200


def test_no_end_of_a_log_is_misjudged() -> None:
    rng = random.Random(7)
    labels: collections.Counter[str] = collections.Counter()
    for number in range(LOGS):
        log = tails.make_log(rng, tails.POLICIES[number % len(tails.POLICIES)])
        for _ in range(CASES // LOGS):
            case = tails.make_case(rng, log)
            labels[case.label] += 1
            assert tails.wrong(case, log) is None, f"log {number} under {log.policy}"
    assert min(labels["torn"], labels["corrupt"]) > CASES // 6  # the generator makes enough of both


def test_the_judge_sees_a_scan_that_cuts_off_what_was_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest bug of logs: stop at the first bad batch, and call all that follows torn."""
    monkeypatch.setattr("tidal.wal.tail._refuse_lost_durable", lambda *_: 0)
    rng = random.Random(7)
    log = tails.make_log(rng, "group")
    assert any(tails.wrong(tails.make_case(rng, log), log) is not None for _ in range(200))


# ------------------------------------------------------------------------------------ armed

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()


def frames_of(store: Path) -> list[Frame]:
    """Every frame in the log of a store, in order."""
    found = []
    for path in sorted(StorePaths(store).wal.glob("*.seg")):
        data = memoryview(path.read_bytes())
        identity = decode_segment_header(data)[0].identity
        offset = SEGMENT_HEADER.size
        while offset < len(data) and data[offset : offset + 4] != SEAL_MAGIC:
            found.append(decode_frame(data, offset, identity))
            offset = found[-1].end
    return found


@pytest.mark.parametrize("sync", ["group", "always", "interval:1h", "os", "buffered:5ms"])
def test_each_policy_writes_into_real_files_how_far_they_are_durable(tmp_path: Path, sync: str) -> None:
    store = tmp_path / "s"
    with tidal.open(store, schema=SCHEMA, sync=sync, clock="event") as db:
        for n in range(5):
            db.signal("view", n, timestamp=n)
            db.flush()
            db.signal("view", n, timestamp=n)
        db.flush()
        claims = [frame.durable_seq for frame in frames_of(store)]
    firsts = [frame.first_seq for frame in frames_of(store)]
    assert claims == sorted(claims)
    assert claims[-1] >= 8, "the last frames do not say that the ones before were synced"
    assert all(claim < first for claim, first in zip(claims, firsts, strict=True))
    if sync in ("group", "always"):  # synced before each was acknowledged
        assert claims == [first - 1 for first in firsts]


def test_a_policy_that_waits_claims_every_batch_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    with tidal.open(tmp_path / "s", schema=SCHEMA, max_future_skew=None) as db:
        for _ in range(20):
            batch = random_batch(rng, 7)
            db.ingest(signal="view", entity_id=batch.entity_id, timestamp=batch.timestamp)
    assert [frame.durable_seq for frame in frames_of(tmp_path / "s")] == [7 * n for n in range(20)]
