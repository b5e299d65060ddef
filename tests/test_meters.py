"""What a database counts of itself, and what its log says of slow operations."""

from __future__ import annotations

import logging

import pytest

from tidal.errors import InvalidEvent, NoSpace, StoreClosed, StorePoisoned, TidalError
from tidal.meters import CHECKPOINT, INGEST, SLOW_SECONDS, SYNC, Meters


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, dict[str, object]]]:
    return [(record.levelno, getattr(record, "tidal")) for record in caplog.records]  # noqa: B009


@pytest.mark.parametrize("operation", SLOW_SECONDS)
def test_an_operation_that_took_long_is_in_the_log(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tidal")
    meters, limit = Meters("feed"), SLOW_SECONDS[operation]
    meters.took(operation, limit * 0.99)
    assert caplog.records == []
    meters.took(operation, limit, seq=7)
    fields = {"event": "slow", "store": "feed", "operation": operation, "seconds": limit, "seq": 7}
    assert told(caplog) == [(logging.WARNING, fields)]
    assert meters.seconds[operation].count == 2


def test_when_something_is_slow_can_be_told(caplog: pytest.LogCaptureFixture) -> None:
    meters = Meters(slow_seconds={SYNC: 0.001})
    meters.took(SYNC, 0.002)
    meters.took(INGEST, 0.002)
    assert [fields["operation"] for _, fields in told(caplog)] == [SYNC]


def test_seldom_operations_are_in_the_log_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tidal")
    clock = iter([10.0, 10.5])
    with Meters().timed(CHECKPOINT, lambda: next(clock), seq=3) as about:
        about["bytes"] = 4
    fields = {
        "event": "done",
        "store": "memory",
        "operation": CHECKPOINT,
        "seconds": 0.5,
        "seq": 3,
        "bytes": 4,
    }
    assert told(caplog) == [(logging.INFO, fields)]


def test_what_fails_is_counted_and_has_no_time() -> None:
    meters = Meters()
    with pytest.raises(NoSpace), meters.timed(CHECKPOINT, lambda: 0.0):
        raise NoSpace("full")
    assert meters.failures[CHECKPOINT] == 1
    assert meters.seconds[CHECKPOINT].count == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidEvent("no"), "invalid"),
        (NoSpace("full"), "no_space"),
        (StorePoisoned("gone"), "poisoned"),
        (StoreClosed("closed"), "closed"),
        (TidalError("?"), "other"),
    ],
)
def test_refused_calls_are_counted_by_their_reason(error: TidalError, reason: str) -> None:
    meters = Meters()
    meters.refused(error)
    assert +meters.refused_calls == {reason: 1}


def test_a_full_disk_is_remembered_until_something_was_written() -> None:
    meters = Meters()
    meters.refused(NoSpace("the disk is full"))
    assert meters.no_space == "the disk is full"
    meters.took(CHECKPOINT, 0.1)
    assert meters.no_space is not None
    meters.took(SYNC, 0.1)
    assert meters.no_space is None
