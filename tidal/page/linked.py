"""What a snapshot says of a leader, of followers, of other regions and of a broker's streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from tidal.archive.marks import MARK_PREFIX
from tidal.links import FollowerSeen, FollowingSeen, IngestSeen, RegionSeen


def followers_shown(
    followers: Sequence[FollowerSeen], marks: Mapping[str, int], last_seq: int
) -> list[dict[str, Any]]:
    """Return those whom the log is shipped to, and the marks of others; who is furthest behind, first."""
    shown = [
        _follower(it.name, it.seq, it.lag_events, it.state, it.heard_seconds, it.held_bytes)
        for it in followers
    ]
    shipped = {MARK_PREFIX + it.name for it in followers}
    shown += [
        _follower(name, seq, max(last_seq - seq, 0)) for name, seq in marks.items() if name not in shipped
    ]
    return sorted(shown, key=lambda it: (it["seq"], it["name"]))


def _follower(
    name: str,
    seq: int,
    lag: int,
    state: str | None = None,
    heard_seconds: float | None = None,
    held_bytes: int | None = None,
) -> dict[str, Any]:
    return {"name": name, "seq": seq, "lag": lag, "state": state, "heard_seconds": _rounded(heard_seconds),
            "held_bytes": held_bytes}  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def following_shown(found: Sequence[FollowingSeen]) -> dict[str, Any] | None:
    """Return what a follower knows of its leader, None for other databases."""
    for it in found:
        return {"name": it.name, "trouble": it.trouble, "lag": it.lag_events,
                "lag_seconds": _rounded(it.lag_seconds), "epoch": it.epoch,
                "refused": it.refused}  # fmt: skip
    return None


def regions_shown(found: Sequence[RegionSeen]) -> dict[str, Any] | None:
    """Return what a region knows of itself and of the others, None for other databases."""
    for it in found:
        members = [
            {"region": other.region, "seq": other.seq, "lag": other.lag_events,
             "heard_seconds": _rounded(other.heard_seconds)}
            for other in it.members
        ]  # fmt: skip
        return {"region": it.region, "trouble": it.trouble, "refused": it.refused, "members": members}
    return None


def streams_shown(found: Sequence[IngestSeen]) -> list[dict[str, Any]]:
    """Return the streams that are ingested from, by name."""
    return [
        {field.name: getattr(it, field.name) for field in fields(it)}
        for it in sorted(found, key=lambda it: it.stream)
    ]
