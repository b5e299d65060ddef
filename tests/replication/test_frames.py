"""Runs of frames: what continues a log is taken, anything else is refused before it is."""

from __future__ import annotations

import numpy as np
import pytest
from bytekit.segments import IDENTITY, Made, make_segment, random_batch

from tidal.errors import ForeignHistory, FormatError, FormatTooNew
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.replication.frames import Run, check_run
from tidal.wal.segments import Link

START = Link(0, NO_HASH, 0, "start")
BATCHES = [random_batch(np.random.default_rng(seed), 5) for seed in range(4)]


@pytest.fixture
def made() -> Made:
    return make_segment(BATCHES, sealed=False)


def run_of(made: Made, first: int = 0) -> Run:
    """The frames of a segment from one on."""
    offset = made.frames[first].offset
    return Run(made.data[:128], offset, made.data[offset:])


def test_frames_come_decoded_with_their_bytes(made: Made) -> None:
    checked = check_run(run_of(made), IDENTITY, START)
    assert [it.frame.last_seq for it in checked.frames] == [5, 10, 15, 20]
    assert b"".join(it.data for it in checked.frames) == made.data[128:]
    for it, batch in zip(checked.frames, BATCHES, strict=True):
        assert it.batch.entity_id.tolist() == batch.entity_id.tolist()


@pytest.mark.parametrize("have", [0, 1, 3, 4])
def test_frames_that_are_here_already_are_passed_over(made: Made, have: int) -> None:
    after = START if not have else Link(5 * have, made.frames[have - 1].hash, 0, "log")
    checked = check_run(run_of(made), IDENTITY, after)
    assert [it.frame.first_seq for it in checked.frames] == [5 * n + 1 for n in range(have, 4)]


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_run_begins_anywhere(made: Made, first: int) -> None:
    after = Link(5 * first, made.frames[first - 1].hash, 0, "log")
    assert len(check_run(run_of(made, first), IDENTITY, after).frames) == 4 - first


def test_a_segment_continues_the_one_before(made: Made) -> None:
    head = made.frames[-1].hash
    following = make_segment(BATCHES[:2], base_seq=21, previous=head, sealed=False)
    assert len(check_run(run_of(following), IDENTITY, Link(20, head, 0, "log")).frames) == 2
    with pytest.raises(ForeignHistory, match="continues another history"):
        check_run(run_of(following), IDENTITY, Link(20, bytes(31) + b"\1", 0, "log"))


@pytest.mark.parametrize(
    "after, reason",
    [
        (Link(5, bytes(32), 0, "log"), "another batch ends at 5"),
        (Link(4, bytes(32), 0, "log"), "does not follow event 4"),
        (Link(0, bytes(31) + b"\1", 0, "log"), "continues another history"),
        (Link(0, NO_HASH, 99, "log"), "is of epoch"),
    ],
)
def test_what_does_not_continue_the_log_is_foreign(made: Made, after: Link, reason: str) -> None:
    with pytest.raises(ForeignHistory, match=reason):
        check_run(run_of(made), IDENTITY, after)


def test_a_gap_is_foreign(made: Made) -> None:
    with pytest.raises(ForeignHistory, match="does not follow event 5"):
        check_run(run_of(made, 2), IDENTITY, Link(5, made.frames[0].hash, 0, "log"))


def test_another_log_is_foreign(made: Made) -> None:
    for other in (
        LogIdentity(bytes(16), 0),
        LogIdentity(IDENTITY.store_id, 0, region=1),
        LogIdentity(IDENTITY.store_id, 0, shard=1),
    ):
        with pytest.raises(ForeignHistory, match="a batch of store"):
            check_run(run_of(made), other, START)


def test_every_byte_counts(made: Made) -> None:
    good = run_of(made)
    for place in range(0, len(good.data), 7):
        data = bytearray(good.data)
        data[place] ^= 1
        with pytest.raises((FormatError, FormatTooNew)):
            check_run(good._replace(data=bytes(data)), IDENTITY, START)
    for place in range(128):
        header = bytearray(good.header)
        header[place] ^= 1
        with pytest.raises((FormatError, FormatTooNew)):
            check_run(good._replace(header=bytes(header)), IDENTITY, START)


def test_frames_cannot_move_or_be_left_out(made: Made) -> None:
    first, second = made.frames[0], made.frames[1]
    for run in (
        Run(made.data[:128], 128, made.data[second.offset :]),
        Run(made.data[:128], 128, made.data[128 : first.end] + made.data[second.end :]),
        Run(made.data[:128], 129, made.data[128:]),
        Run(made.data[:128], 0, made.data[128:]),
        Run(made.data[:128], 128, b""),
        Run(made.data[:127], 128, made.data[128:]),
    ):
        with pytest.raises(FormatError):
            check_run(run, IDENTITY, START)
