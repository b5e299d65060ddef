"""What a snapshot says of a leader, of followers, of other regions and of a broker's streams."""

from __future__ import annotations

import json
from pathlib import Path

from linked import SCHEMA, STREAM, linked_pair, linked_regions
from waiting import until

import tidal
from tidal.links import FollowerSeen, FollowingSeen, IngestSeen, MemberSeen, RegionSeen
from tidal.page import Snapshots
from tidal.page.linked import followers_shown, following_shown, regions_shown, streams_shown


def test_followers_and_marks_of_others_are_told_and_none_of_them_twice() -> None:
    followers = [
        FollowerSeen("copy", 90, 10, 4096, "live", 0.26),
        FollowerSeen("far", 5, 95, 8192, "silent"),
    ]
    marks = {"follower.copy": 88, "follower.far": 5, "warehouse": 40, "follower.old": 70, "done": 100}
    shown = followers_shown(followers, marks, 100)
    assert [(it["name"], it["seq"], it["lag"], it["state"]) for it in shown] == [
        ("far", 5, 95, "silent"),
        ("warehouse", 40, 60, None),
        ("follower.old", 70, 30, None),  # its leader ships to it no more, and its mark is still there
        ("copy", 90, 10, "live"),
        ("done", 100, 0, None),
    ]
    assert (shown[3]["heard_seconds"], shown[3]["held_bytes"]) == (0.3, 4096)
    assert shown[0]["heard_seconds"] is shown[1]["heard_seconds"] is shown[1]["held_bytes"] is None


def test_a_follower_says_what_it_knows_of_its_leader() -> None:
    assert following_shown([]) is None
    seen = FollowingSeen("copy", "gone", 7, 1.25, 3, refused=2, refusal="damaged")
    assert following_shown([seen]) == {
        "name": "copy", "trouble": "gone", "lag": 7, "lag_seconds": 1.2, "epoch": 3, "refused": 2,
    }  # fmt: skip


def test_a_region_says_what_it_knows_of_the_others() -> None:
    assert regions_shown([]) is None
    seen = RegionSeen(1, 60.0, members=(MemberSeen(2, 40, 3, 1.26), MemberSeen(5, None)), refused=4)
    assert regions_shown([seen]) == {
        "region": 1, "trouble": None, "refused": 4, "members": [
            {"region": 2, "seq": 40, "lag": 3, "heard_seconds": 1.3},
            {"region": 5, "seq": None, "lag": 0, "heard_seconds": None},
        ],
    }  # fmt: skip


def test_regions_are_seen_as_they_are(tmp_path: Path) -> None:
    with linked_regions(tmp_path) as two:
        until(two.agree)
        found = json.loads(json.dumps(Snapshots(two.dbs[0]).take(), allow_nan=False))["regions"]
        assert (found["region"], found["trouble"], found["refused"]) == (1, None, 0)
        assert [(it["region"], it["seq"], it["lag"]) for it in found["members"]] == [(2, 1, 0)]


def test_streams_are_told_by_name() -> None:
    assert [it["stream"] for it in streams_shown([STREAM, IngestSeen("a")])] == ["a", "orders"]


def test_a_leader_and_its_follower_are_seen_as_they_are(tmp_path: Path) -> None:
    with linked_pair(tmp_path) as pair:
        pair.leader.marks.set("warehouse", 2)
        pair.leader._links.attach("orders", lambda: STREAM)
        until(lambda: [it.lag for it in pair.leader.followers()] == [0])
        found = json.loads(json.dumps(Snapshots(pair.leader).take(), allow_nan=False))
        assert [(it["name"], it["lag"], it["state"]) for it in found["followers"]] == [
            ("warehouse", 3, None),
            ("copy", 0, "live"),
        ]
        assert found["following"] is None
        assert [(it["stream"], it["pending"]) for it in found["streams"]] == [("orders", 2)]
        found = json.loads(json.dumps(Snapshots(pair.follower).take(), allow_nan=False))
        assert (found["following"]["name"], found["following"]["lag"], found["streams"]) == ("copy", 0, [])
        assert found["read_only"] and found["health"] == {"ok": True, "ready": True, "reasons": []}


def test_troubles_name_no_file() -> None:
    trouble = "cannot read /var/lib/tidal/feed/wal/wal-1.seg: gone"
    with tidal.open(schema=SCHEMA) as db:
        db._links.attach("orders", lambda: IngestSeen("orders", trouble))
        db._links.attach("following", lambda: FollowingSeen("copy", trouble, 0, None, 1))
        db._links.attach("region", lambda: RegionSeen(1, 0.0, trouble))
        found = Snapshots(db).take()
        assert "/var" not in json.dumps(found)
        assert found["regions"]["trouble"].startswith("cannot read (a file)")
        assert found["following"]["trouble"].startswith("cannot read (a file)")
        assert not found["health"]["ready"]
