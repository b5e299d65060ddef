"""Sectors lost, doubled, swapped, stale, or written to the wrong place: each is noticed, none is read."""

from __future__ import annotations

import collections
import random

import pytest
from bytekit import sectors

FAULTS = 3_000


@pytest.mark.parametrize("closed", [True, False])
def test_every_fault_of_a_sector_is_noticed(closed: bool) -> None:
    rng = random.Random(11)
    disk = sectors.make_disk(rng, closed=closed)
    kinds: collections.Counter[str] = collections.Counter()
    for _ in range(FAULTS):
        fault = sectors.make_fault(rng, disk)
        kinds[fault.kind] += 1
        assert sectors.judge(fault, disk)[1] is None
    assert kinds.keys() == sectors.KINDS.keys()


def test_the_judge_sees_a_reader_without_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(11)
    with monkeypatch.context() as patch:
        patch.setattr("tidal.format.frame._hash", lambda *_: bytes(32))
        disk = sectors.make_disk(rng, closed=False)
        faults = [sectors.make_fault(rng, disk) for _ in range(1_000)]
        problems = [problem for fault in faults if (problem := sectors.judge(fault, disk)[1]) is not None]
    assert problems
