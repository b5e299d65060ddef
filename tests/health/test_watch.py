"""Health, judged from what is seen: each reason at its limit, and what shows only from look to look."""

from __future__ import annotations

from typing import Any

import pytest

from tidal.health import NOT_READY, REASONS, Health, HealthLimits, HealthReason, HealthWatch, Vitals

SECOND = 10**9


def seen(**changes: Any) -> Vitals:
    """A database that is well."""
    given: dict[str, Any] = {
        "uptime": 0,
        "wall_clock": 1_700_000_000 * SECOND,
        "newest_event": None,
        "future_skew": 600 * SECOND,
        "last_seq": 100,
        "free_bytes": 1 << 40,
        "checkpoint_bytes": 1000,
    }
    return Vitals(**{**given, **changes})


def codes(health: Health) -> list[str]:
    assert health.ok == (not health.reasons)
    return [reason.code for reason in health.reasons]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"failure": "sync failed"}, "poisoned"),
        ({"fenced": "another node leads"}, "deposed"),
        ({"no_space": "write"}, "disk_full"),
        ({"free_bytes": (64 << 20) - 1}, "disk_full"),
        ({"free_bytes": 1 << 30, "needed_bytes": (1 << 30) + 1}, "disk_full"),
        ({"checkpoint_error": "NoSpace: full"}, "checkpoint_failed"),
        ({"unsaved_bytes": 4001, "unsaved_ns": 601 * SECOND}, "checkpoint_stale"),
        ({"archive_error": "CorruptLog: bad"}, "archive_failed"),
        ({"refresh_error": "CorruptLog: bad"}, "refresh_failed"),
        ({"newest_event": (1_700_000_000 + 661) * SECOND}, "clock_behind"),
    ],
)
def test_one_look_shows(changes: dict[str, Any], code: str) -> None:
    health = HealthWatch(HealthLimits()).judge(seen(**changes))
    assert codes(health) == [code]
    assert code in REASONS
    assert str(health.reasons[0]) == health.reasons[0].message != ""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"free_bytes": None},
        {"free_bytes": 64 << 20},
        {"unsaved_bytes": 4001, "unsaved_ns": 600 * SECOND},
        {"unsaved_bytes": 4000, "unsaved_ns": 9000 * SECOND},
        {"unsaved_bytes": 10**12, "unsaved_ns": 9000 * SECOND, "checkpoint_bytes": None},
        {"newest_event": (1_700_000_000 + 660) * SECOND},
        {"newest_event": 2**62, "future_skew": None},
        {"newest_event": 2**62, "wall_clock": None},
    ],
)
def test_what_is_within_the_limits_is_well(changes: dict[str, Any]) -> None:
    assert HealthWatch(HealthLimits()).judge(seen(**changes)) == Health(True)


def test_a_mark_that_stands_still_while_the_log_grows_is_a_stalled_follower() -> None:
    watch = HealthWatch(HealthLimits(follower="10s"))

    def look(second: int, last: int, **marks: int) -> list[str]:
        wall = (1_700_000_000 + second) * SECOND
        at = seen(uptime=second * SECOND, wall_clock=wall, last_seq=last, marks=marks)
        return codes(watch.judge(at))

    assert look(0, 100, a=100, b=50) == []
    assert look(10, 100, a=100, b=50) == []
    assert look(11, 120, a=100, b=50) == ["follower_stalled"]  # b: a has had nothing to take for so long
    assert look(12, 120, a=100, b=51) == []  # it moved
    assert look(21, 130, a=100, b=51) == []  # a is due since second 11
    assert look(22, 130, a=100, b=51) == ["follower_stalled"]
    assert look(23, 130, a=100, b=51) == ["follower_stalled"] * 2
    assert look(24, 130, b=51) == ["follower_stalled"]  # a was removed
    assert look(25, 130, a=100, b=130) == []  # and set anew


def test_a_jump_of_the_clock_is_told_for_ten_minutes() -> None:
    watch = HealthWatch(HealthLimits(clock="60s"))

    def look(second: int, ahead: int) -> Health:
        wall = (1_700_000_000 + second + ahead) * SECOND
        return watch.judge(seen(uptime=second * SECOND, wall_clock=wall))

    assert look(0, 0).ok
    assert look(10, 60).ok  # a minute is not a jump
    assert codes(look(20, -1)) == ["clock_jumped"]
    assert "-61 s" in str(look(30, -1).reasons[0])
    assert codes(look(620, -1)) == ["clock_jumped"]
    assert look(621, -1).ok
    assert codes(look(630, 3600)) == ["clock_jumped"]


def test_what_is_for_somebody_to_see_to_is_no_reason_to_ask_another_database() -> None:
    assert Health(True).ready
    assert NOT_READY.issubset(REASONS)
    for code in REASONS:
        assert Health(False, (HealthReason(code, "why"),)).ready == (code not in NOT_READY)
    both = (HealthReason("archive_failed", "why"), HealthReason("replication_lag", "why"))
    assert not Health(False, both).ready
