"""One segment by itself: what its units say of each other, made byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bytekit.segments import IDENTITY, Made, make_segment, random_batch

from tidal.format.segment import SEGMENT_HEADER
from tidal.inspect import Finding, Severity, verify


def three(seed: int, **options: object) -> Made:
    rng = np.random.default_rng(seed)
    return make_segment([random_batch(rng, 3) for _ in range(3)], **options)  # type: ignore[arg-type]


def findings(folder: Path, made: Made, data: bytes) -> list[Finding]:
    (folder / made.name).write_bytes(data)
    return list(verify(folder / made.name).findings)


def test_a_good_one(tmp_path: Path) -> None:
    made = three(1)
    assert findings(tmp_path, made, made.data) == []
    (finding,) = findings(tmp_path, three(1, sealed=False), three(1, sealed=False).data)
    assert (finding.severity, finding.code) == (Severity.UNFINISHED, "log-open")


def test_bytes_after_the_seal(tmp_path: Path) -> None:
    made = three(1)
    (finding,) = findings(tmp_path, made, made.data + b"more")
    assert (finding.code, finding.offset) == ("seal-misfit", len(made.data))


def test_good_frames_of_another_history(tmp_path: Path) -> None:
    """Same store, same place, same epoch: only the link tells."""
    one, other = three(1, base_seq=10, previous=bytes(32)), three(1, base_seq=10, previous=b"\1" * 32)
    spliced = one.data[: SEGMENT_HEADER.size] + other.data[SEGMENT_HEADER.size :]
    (finding,) = findings(tmp_path, one, spliced)
    assert (finding.code, finding.offset) == ("batch-misfit", SEGMENT_HEADER.size)
    assert one.info.header.log == other.info.header.log == IDENTITY


def test_a_newer_frame_makes_the_end_unreadable_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidal.format.frame.FRAME_VERSION", 2)
    made = three(1, sealed=False)
    monkeypatch.undo()
    found = findings(tmp_path, made, made.data)
    assert {finding.code for finding in found} == {"too-new"}
    found = findings(tmp_path, made, made.data[: made.frames[1].offset] + b"junk")
    assert "tail-torn" not in {finding.code for finding in found}
    assert "too-new" in {finding.code for finding in found}
