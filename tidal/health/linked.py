"""Whether a database's links are well: to its leader, its followers, other regions, a broker's stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from tidal.health.limits import HealthLimits
from tidal.health.looks import Recent, Still
from tidal.links import DROPPED, FOREIGN, FollowingSeen, IngestSeen, LeadingSeen, Link, RegionSeen
from tidal.schema.durations import NS_PER_SECOND, parse_duration

_LOST: Final = {
    DROPPED: "was dropped: it needs more of the log than hold_bytes= keeps for it",
    FOREIGN: "has another history than this store",
}

_Link = TypeVar("_Link", bound=Link)


class LinkChecks:
    """Judges links, again and again. Calls must not overlap."""

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._lag, self._ingest = parse_duration(limits.lag), parse_duration(limits.ingest)
        self._region = parse_duration(limits.region)
        self._positions, self._members, self._recent = Still(), Still(), Recent()

    def judge(self, links: Sequence[Link], uptime: int) -> Iterator[tuple[str, str]]:
        """Yield what is wrong, as code and message; ``uptime`` is the database's, in ns."""
        for leading in _of(LeadingSeen, links):
            yield from _shipping(leading)
        for following in _of(FollowingSeen, links):
            yield from self._following(following, uptime)
        for region in _of(RegionSeen, links):
            yield from self._exchanging(region, uptime)
        yield from self._ingesting({it.stream: it for it in _of(IngestSeen, links)}, uptime)

    def _following(self, it: FollowingSeen, uptime: int) -> Iterator[tuple[str, str]]:
        if it.trouble is not None:
            yield "not_following", f"this follower does not follow: {it.trouble}"
        else:
            yield from self._behind(it, uptime)
        yield from self._refusing("messages", it, uptime)

    def _refusing(self, what: str, it: FollowingSeen | RegionSeen, uptime: int) -> Iterator[tuple[str, str]]:
        refused = self._recent.grown(what, it.refused, uptime)
        if refused > self._limits.refused:
            yield "messages_refused", f"{what} refused of late: {refused:,}, the last: {it.refusal}"

    def _behind(self, it: FollowingSeen, uptime: int) -> Iterator[tuple[str, str]]:
        most, heard = self._limits.lag_events, it.lag_seconds is not None
        seconds = uptime / NS_PER_SECOND if it.lag_seconds is None else it.lag_seconds
        late = seconds * NS_PER_SECOND > self._lag
        if heard and it.lag_events and (late or (most is not None and it.lag_events > most)):
            what = f"{it.lag_events:,} events and {seconds:,.0f} s"
            yield "replication_lag", f"this follower is {what} behind its leader"
        elif late:
            yield "replication_lag", f"nothing was heard of a leader for {seconds:,.0f} s"

    def _exchanging(self, it: RegionSeen, uptime: int) -> Iterator[tuple[str, str]]:
        if it.trouble is not None:
            yield "region_ended", f"nothing is exchanged with other regions any more: {it.trouble}"
        else:
            yield from self._silent(it)
            yield from self._not_counted(it, uptime)
        yield from self._refusing("messages of other regions", it, uptime)

    def _silent(self, it: RegionSeen) -> Iterator[tuple[str, str]]:
        for other in it.members:
            # Nobody is silent who was not listened to: a link that begins hears nothing at once.
            heard = it.linked_seconds if other.heard_seconds is None else other.heard_seconds
            seconds = min(heard, it.linked_seconds)
            if seconds * NS_PER_SECOND > self._region:
                yield "region_silent", f"nothing was heard of region {other.region} for {seconds:,.0f} s"

    def _not_counted(self, it: RegionSeen, uptime: int) -> Iterator[tuple[str, str]]:
        behind = {str(other.region): other for other in it.members if other.lag_events}
        places = {name: other.seq or 0 for name, other in behind.items()}
        for name, _, still in self._members.times(places, uptime):
            if still > self._region:
                what = f"{behind[name].lag_events:,} events of region {name} do not count here"
                yield "region_stalled", f"{what}, and none came for {still / NS_PER_SECOND:,.0f} s"

    def _ingesting(self, streams: dict[str, IngestSeen], uptime: int) -> Iterator[tuple[str, str]]:
        for it in streams.values():
            if it.trouble is not None:
                yield "ingest_ended", f"nothing more is ingested from {it.stream}: {it.trouble}"
            if grown := self._recent.grown(f"dead {it.stream}", it.dead_letters, uptime):
                yield (
                    "ingest_dead_letters",
                    f"messages of {it.stream} that are no batches for this store: {grown:,}",
                )
            if grown := self._recent.grown(f"missing {it.stream}", it.missing, uptime):
                yield (
                    "ingest_missing",
                    f"messages of {it.stream} that were gone before they were ingested: {grown:,}",
                )
        waiting = {it.stream: it.position for it in streams.values() if it.pending and it.trouble is None}
        for stream, position, still in self._positions.times(waiting, uptime):
            if still > self._ingest:
                what = f"{streams[stream].pending:,} messages of {stream} wait after {position:,}"
                yield "ingest_stalled", f"{what}, and none was ingested for {still / NS_PER_SECOND:,.0f} s"


def _shipping(leading: LeadingSeen) -> Iterator[tuple[str, str]]:
    if leading.trouble is not None:
        yield "shipping_ended", f"the log is not sent to followers any more: {leading.trouble}"
    for it in leading.followers:
        if (what := _LOST.get(it.state)) is not None:
            yield "follower_lost", f"the follower {it.name!r} {what}"


def _of(kind: type[_Link], links: Sequence[Link]) -> Iterator[_Link]:
    return (link for link in links if isinstance(link, kind))
