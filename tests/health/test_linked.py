"""Leaders, followers, regions and streams, judged from what is known of them: each reason at its limit."""

from __future__ import annotations

from typing import Any

import pytest

from tidal.health import REASONS, HealthLimits
from tidal.health.linked import LinkChecks
from tidal.links import (
    FOLLOWER_STATES,
    FollowerSeen,
    FollowingSeen,
    IngestSeen,
    LeadingSeen,
    Link,
    MemberSeen,
    RegionSeen,
)

SECOND = 10**9


def following(**changes: Any) -> FollowingSeen:
    """A follower that is well."""
    given: dict[str, Any] = {"name": "f", "trouble": None, "lag_events": 0, "lag_seconds": 0.5, "epoch": 1}
    return FollowingSeen(**{**given, **changes})


def codes(*links: Link, uptime: int = SECOND, **limits: Any) -> list[str]:
    found = dict(LinkChecks(HealthLimits(**limits)).judge(links, uptime))
    assert found.keys() <= REASONS.keys() and all(found.values())
    return list(found)


def follower(state: str) -> FollowerSeen:
    return FollowerSeen("copy", 0, 9, 0, state)


def region(*members: MemberSeen, linked: float = 900.0, **changes: Any) -> RegionSeen:
    """Region 1, with these others."""
    return RegionSeen(1, linked, members=members, **changes)


@pytest.mark.parametrize(
    ("link", "code"),
    [
        (following(trouble="its log begins later"), "not_following"),
        (following(trouble="gone", lag_seconds=900.0), "not_following"),
        (following(lag_seconds=60.1), "replication_lag"),
        (following(lag_seconds=60.1, lag_events=7), "replication_lag"),
        (following(refused=11, refusal="damaged"), "messages_refused"),
        (LeadingSeen(1, trouble="its transport was closed"), "shipping_ended"),
        (LeadingSeen(1, followers=(follower("live"), follower("dropped"))), "follower_lost"),
        (LeadingSeen(1, followers=(follower("foreign"),)), "follower_lost"),
        (region(trouble="its transport was closed"), "region_ended"),
        (region(MemberSeen(2, 9, 0, 900.0), trouble="closed"), "region_ended"),
        (region(MemberSeen(2, 9, 0, 0.5), MemberSeen(3, 9, 0, 300.1)), "region_silent"),
        (region(MemberSeen(2, None), linked=300.1), "region_silent"),
        (region(refused=11, refusal="another schema"), "messages_refused"),
        (IngestSeen("orders", trouble="refused"), "ingest_ended"),
        (IngestSeen("orders", dead_letters=1), "ingest_dead_letters"),
        (IngestSeen("orders", missing=1), "ingest_missing"),
    ],
)
def test_one_look_shows(link: Link, code: str) -> None:
    assert codes(link) == [code]


@pytest.mark.parametrize(
    "link",
    [
        following(),
        following(lag_seconds=60.0, lag_events=10**9),
        following(lag_seconds=None),
        following(refused=10, refusal="damaged", duplicates=10**6),
        LeadingSeen(1),
        LeadingSeen(1, leads=False),  # the database says that itself
        *(LeadingSeen(1, followers=(follower(it),)) for it in ("live", "catching up", "silent")),
        region(MemberSeen(2, 9, 0, 300.0), MemberSeen(3, None, 5, 0.1)),
        region(MemberSeen(2, None), linked=300.0),
        region(MemberSeen(2, 9, 0, 900.0), linked=1.0),  # a link that began anew has not listened for long
        region(refused=10, refusal="another schema", sent_bytes=10**9),
        IngestSeen("orders", pending=10**6, duplicates=7),
    ],
)
def test_what_is_within_the_limits_is_well(link: Link) -> None:
    assert codes(link) == []


def test_every_state_of_a_follower_is_judged_above() -> None:
    assert set(FOLLOWER_STATES) == {"live", "catching up", "silent", "dropped", "foreign"}


def test_the_limits_of_lag_are_given() -> None:
    late = following(lag_seconds=5.0, lag_events=100)
    assert codes(late, lag="4s") == codes(late, lag_events=99) == ["replication_lag"]
    assert codes(late, lag="5s", lag_events=100) == []
    assert codes(following(lag_events=1), lag_events=0) == ["replication_lag"]
    (message,) = dict(LinkChecks(HealthLimits(lag="4s")).judge([late], SECOND)).values()
    assert message == "this follower is 100 events and 5 s behind its leader"


def test_a_leader_of_whom_nothing_was_ever_heard_is_waited_for() -> None:
    silent = following(lag_seconds=None)
    assert codes(silent, uptime=60 * SECOND) == []
    assert codes(silent, uptime=61 * SECOND) == ["replication_lag"]
    found = dict(LinkChecks(HealthLimits()).judge([silent], 75 * SECOND))
    assert found == {"replication_lag": "nothing was heard of a leader for 75 s"}


def test_refused_messages_are_told_for_ten_minutes() -> None:
    checks = LinkChecks(HealthLimits(refused=0))

    def look(second: int, refused: int) -> dict[str, str]:
        return dict(checks.judge([following(refused=refused, refusal="stale")], second * SECOND))

    assert look(0, 0) == {}
    assert look(10, 2) == {"messages_refused": "messages refused of late: 2, the last: stale"}
    assert look(610, 2).keys() == {"messages_refused"}
    assert look(611, 2) == {}


def test_what_followers_and_regions_refuse_is_counted_apart() -> None:
    checks = LinkChecks(HealthLimits(refused=4))
    both = [following(refused=3, refusal="stale"), region(refused=5, refusal="another schema")]
    assert dict(checks.judge(both, SECOND)) == {
        "messages_refused": "messages of other regions refused of late: 5, the last: another schema"
    }


def test_a_silent_region_is_named() -> None:
    link = region(MemberSeen(2, 1, 0, 11.0), MemberSeen(7, 1, 0, 75.2), MemberSeen(9, None))
    found = [message for _, message in LinkChecks(HealthLimits(region="1m")).judge([link], SECOND)]
    assert found == ["nothing was heard of region 7 for 75 s", "nothing was heard of region 9 for 900 s"]


def test_a_region_whose_state_does_not_come_is_stalled() -> None:
    checks = LinkChecks(HealthLimits(region="10s"))

    def look(second: int, seq: int | None, lag: int) -> list[str]:
        link = region(MemberSeen(2, 7, 0, 0.1), MemberSeen(3, seq, lag, 0.1))
        return [message for _, message in checks.judge([link], second * SECOND)]

    assert look(0, None, 0) == look(20, None, 0) == []  # it has nothing
    assert look(30, None, 5) == look(40, None, 6) == []
    assert look(41, None, 7) == ["7 events of region 3 do not count here, and none came for 11 s"]
    assert look(42, 4, 3) == look(52, 4, 3) == []
    assert look(53, 4, 3) == ["3 events of region 3 do not count here, and none came for 11 s"]
    assert look(54, 7, 0) == []


def test_a_stream_that_waits_and_does_not_move_is_stalled() -> None:
    checks = LinkChecks(HealthLimits(ingest="10s"))

    def look(second: int, position: int, pending: int) -> list[str]:
        link = IngestSeen("orders", position=position, pending=pending)
        return [code for code, _ in checks.judge([link], second * SECOND)]

    assert look(0, 5, 0) == look(20, 5, 0) == []  # nothing waits
    assert look(30, 5, 3) == look(40, 5, 3) == []
    assert look(41, 5, 9) == ["ingest_stalled"]
    assert look(42, 6, 8) == []
    assert look(53, 6, 8) == ["ingest_stalled"]
    assert look(54, 6, 0) == []
