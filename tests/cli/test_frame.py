"""Frames of `tidal watch`: a snapshot as text, and how it fits the place that there is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from snapshot import row, snapshot

from tidal.cli.figures import ASCII_SPARKS, SPARKS
from tidal.cli.frame import Style, frame
from tidal.cli.tables import display_width


def test_a_frame() -> None:
    assert (
        "\n".join(frame(snapshot(), Style(width=80)))
        == """\
shop.tidal  healthy                                        tidal 1.2.3  22:13:20
events     1,234.5/s   ▁▁▁▂▂▂▂▃▃▃▃▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇████  highest 3,000.0 in 10 min
log        1,000,000 events, 100 not synced, in 2 files
checkpoint at 900,000, 100,000 events since, 75 s old
disk       4.77 MiB used, of it 4.77 MiB log, 186 bytes archive; 74.5 GiB free
followers  replica 1,000 behind
jobs       1 running (42%), 1 done

view by score                             last 24h           trend         score
 1  lamp                                  ▁▁▁▁▁▁▂▃▄▆▇█         new       1,234.5
 2  chair  A CHAIR WITH A NAME THAT IS…   ████████████        +25%          3.25
 3  42                                    ██████▂▂▂▂▂▂        -88%             –

view by velocity.1h                       last 1h            trend    events/min
 1  椅子                                  ███████████████        =             3
 2  lamp                                  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁█      x27          0.15"""
    )


def test_a_follower_a_leader_regions_and_a_stream_each_have_a_line() -> None:
    def lines(**changes: Any) -> dict[str, str]:
        found = frame(snapshot(**changes), Style(width=120))
        return {line[:11].strip(): line[11:] for line in found}

    following = {"name": "copy", "trouble": None, "lag": 1234, "lag_seconds": 0.4, "epoch": 2, "refused": 0}
    shown = lines(following=following)
    assert shown["leader"] == "1,234 events behind, up to date 400 ms ago, epoch 2"
    shown = lines(following={**following, "lag_seconds": None})
    assert shown["leader"] == "1,234 events behind, nothing heard yet, epoch 2"
    assert lines(following={**following, "trouble": "it ended"})["leader"] == "not followed: it ended"
    followers = [
        {"name": name, "seq": 1, "lag": 0, "state": name} for name in ("live", "catching up", "dropped")
    ]
    shown = lines(followers=followers)
    assert (
        shown["followers"] == "live 0 behind, catching up 0 behind (catching up), dropped 0 behind (dropped)"
    )
    stream = {
        "stream": "orders",
        "position": 1000,
        "pending": 7,
        "dead_letters": 0,
        "missing": 0,
        "trouble": None,
    }
    assert lines(streams=[stream])["broker"] == "orders 1,000 ingested, 7 wait"
    shown = lines(streams=[{**stream, "dead_letters": 2, "missing": 3, "trouble": "it ended"}])
    assert shown["broker"] == "orders 1,000 ingested, 7 wait, 2 dead letters, 3 missing, ended: it ended"
    members = [
        {"region": 2, "seq": 7, "lag": 1200, "heard_seconds": 0.4},
        {"region": 5, "seq": None, "lag": 0, "heard_seconds": None},
    ]
    regions = {"region": 1, "trouble": None, "refused": 0, "members": members}
    assert lines(regions=regions)["regions"] == "2 1,200 behind, heard 400 ms ago, 5 0 behind, never heard"
    assert lines(regions={**regions, "trouble": "it ended"})["regions"] == "nothing exchanged: it ended"
    assert not {"leader", "regions", "broker"} & lines().keys()


@pytest.mark.parametrize("width", [40, 59, 60, 80, 132, 250])
def test_no_line_is_wider_than_the_place(width: int) -> None:
    names = snapshot(store="s" * 300, followers=[{"name": "n" * 64, "seq": 1, "lag": 2, "state": None}] * 9)
    lines = frame(names, Style(width=width), lost="gone " * 99)
    assert max(map(display_width, lines)) <= width
    plain = "".join(frame(snapshot(), Style(width=width, ascii_only=True)))
    assert not set(plain) & set(SPARKS) and set(plain) & set(ASCII_SPARKS)


@pytest.mark.parametrize("height", [8, 14, 20, 24, 50])
def test_it_fits_the_height_with_as_many_rows_as_there_is_place_for(height: int) -> None:
    rows = [row(f"key {place}", 10.0 - place, [1] * 24) for place in range(10)]
    full = snapshot(tops=[{**top, "rows": rows} for top in snapshot()["tops"]])
    lines = frame(full, Style(width=80, height=height))
    assert len(lines) <= height
    rankings = len([line for line in lines if " by " in line])
    assert rankings == (2 if height >= 20 else 1 if height > 8 else 0)
    assert len([line for line in lines if "key 0" in line]) == rankings
    assert len([line for line in lines if "key 9" in line]) == (2 if height == 50 else 0)


def test_colour_adds_nothing_but_colour() -> None:
    ill = snapshot(health={"ok": False, "reasons": [{"code": "disk_full", "message": "the disk is full"}]})
    coloured = frame(ill, Style(width=80, colour=True), lost="gone")
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == frame(ill, Style(width=80), lost="gone")
    assert any("\x1b[31m! the disk is full\x1b[0m" in line for line in coloured)


def test_names_of_others_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x07lamp\nx"
    top = {**snapshot()["tops"][0], "signal": "view", "rows": [row(evil, 1.0, [1], title=evil)]}
    health = {"ok": False, "reasons": [{"code": "x", "message": evil}]}
    follower = {"name": evil, "seq": 1, "lag": 1, "state": "silent"}
    hostile = snapshot(store=evil, version=evil, tops=[top], health=health, followers=[follower])
    text = "".join(frame(hostile, Style(width=120), lost=evil))
    assert text.isprintable() and text.count("lamp") >= 6


def test_what_is_not_known_is_not_shown() -> None:
    bare = snapshot(
        rate={"now": None, "points": []}, disk=None, followers=None, jobs=None,
        checkpoint={"seq": 0, "behind": 5, "age_seconds": None, "took_seconds": None, "error": None},
        tops=[{"signal": "view", "by": "count.all", "window": None, "bar_seconds": None, "rows": []}],
    )  # fmt: skip
    text = "\n".join(frame(bare, Style(width=80)))
    assert "measuring" in text and "none yet" in text
    assert "followers" not in text and "jobs" not in text
    failed = snapshot(checkpoint={**snapshot()["checkpoint"], "error": "OSError: no"})
    assert "checkpoint failed: OSError: no" in "\n".join(frame(failed, Style(width=80)))


def test_in_memory_there_is_no_log() -> None:
    lines = frame(snapshot(store=None, disk=None), Style(width=80))
    assert lines[0].startswith("in memory  healthy") and "recorded   1,000,000 events, in memory" in lines
