"""Whether a database is well: each check is a function of what was seen, and of what was seen before.

Nothing here reads a file or asks a clock, so a test can make any database up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidal.health.limits import HealthLimits
from tidal.health.linked import LinkChecks
from tidal.health.looks import TOLD_NS, Still
from tidal.health.reasons import Health, HealthReason
from tidal.links import Link
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, parse_duration


@record
class Vitals:
    """What is seen of a database at one moment. Times are ns; ``uptime`` is of a clock that never jumps."""

    uptime: int
    wall_clock: int | None  # None: it is not this machine's
    newest_event: int | None
    future_skew: int | None  # how far events may lie ahead of the wall clock; None: any distance
    last_seq: int
    failure: str | None = None  # why nothing more is recorded
    fenced: str | None = None  # who leads in its place
    no_space: str | None = None  # what the log was refused last
    free_bytes: int | None = None
    needed_bytes: int = 0  # of the next checkpoint and segment
    checkpoint_error: str | None = None
    archive_error: str | None = None
    refresh_error: str | None = None  # of the last look at what another process writes
    unsaved_bytes: int = 0  # logged since the last checkpoint
    unsaved_ns: int = 0  # since then
    checkpoint_bytes: int | None = None  # between two of them; None: only on demand
    marks: Mapping[str, int] | None = None
    links: tuple[Link, ...] = ()


class HealthWatch:
    """Judges a database, again and again: what stands still or jumps shows only from one look to the next.

    Calls must not overlap.
    """

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._follower, self._clock = parse_duration(limits.follower), parse_duration(limits.clock)
        self._checkpoint = parse_duration(limits.checkpoint)
        self._marks, self._linked = Still(), LinkChecks(limits)
        self._offset: int | None = None  # wall clock less uptime
        self._jump: tuple[int, int] | None = None  # when it was seen, and by how much
        self._checks = (
            self._log, self._space, self._saving, self._reading, self._followers, self._links, self._clocks
        )  # fmt: skip

    def judge(self, seen: Vitals) -> Health:
        """Return whether the database is well."""
        reasons = tuple(
            HealthReason(code, message) for check in self._checks for code, message in check(seen)
        )
        return Health(not reasons, reasons)

    def _log(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        if seen.fenced is not None:
            yield "deposed", seen.fenced
        if seen.failure is not None:
            yield "poisoned", f"nothing more is recorded: {seen.failure}"

    def _space(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        needed = max(self._limits.free_bytes, seen.needed_bytes)
        if seen.no_space is not None:
            yield "disk_full", f"the disk is full: {seen.no_space}"
        elif seen.free_bytes is not None and seen.free_bytes < needed:
            yield "disk_full", f"{seen.free_bytes:,} bytes are free, less than the {needed:,} that are needed"

    def _saving(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        if seen.checkpoint_error is not None:
            yield "checkpoint_failed", f"the last checkpoint failed: {seen.checkpoint_error}"
        due = seen.checkpoint_bytes
        late = due is not None and seen.unsaved_bytes > due * self._limits.checkpoint_factor
        if late and seen.unsaved_ns > self._checkpoint:
            seconds = seen.unsaved_ns / NS_PER_SECOND
            what = f"{seen.unsaved_bytes:,} bytes were logged in {seconds:,.0f} s without a checkpoint"
            yield "checkpoint_stale", f"{what}; one is due after {due:,}"
        if seen.archive_error is not None:
            yield "archive_failed", f"the log could not be archived: {seen.archive_error}"

    def _reading(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        if seen.refresh_error is not None:
            yield "refresh_failed", f"what was written since could not be taken in: {seen.refresh_error}"

    def _followers(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        behind = {name: seq for name, seq in (seen.marks or {}).items() if seq < seen.last_seq}
        for name, seq, still in self._marks.times(behind, seen.uptime):
            if still > self._follower:
                what = f"the mark {name!r} has not moved for {still / NS_PER_SECOND:,.0f} s"
                yield "follower_stalled", f"{what}, and is {seen.last_seq - seq:,} events behind"

    def _links(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        return self._linked.judge(seen.links, seen.uptime)

    def _clocks(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        if seen.wall_clock is None:
            return
        offset = seen.wall_clock - seen.uptime
        if self._offset is not None and abs(by := offset - self._offset) > self._clock:
            self._jump = seen.uptime, by
        self._offset = offset
        if self._jump is not None and seen.uptime - self._jump[0] <= TOLD_NS:
            yield "clock_jumped", f"the clock jumped by {self._jump[1] / NS_PER_SECOND:+,.0f} s"
        if seen.newest_event is not None and seen.future_skew is not None:
            ahead = seen.newest_event - seen.wall_clock
            if ahead > seen.future_skew + self._clock:
                yield "clock_behind", f"the newest event is {ahead / NS_PER_SECOND:,.0f} s ahead of the clock"
