"""Whether a database is well: each check is a function of what was seen, and of what was seen before.

Nothing here reads a file or asks a clock, so a test can make any database up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tidal.errors import InvalidOption
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, Duration, parse_duration

REASONS: Final[Mapping[str, str]] = {
    "poisoned": "a write or sync of the log failed: nothing more is recorded until the store is opened anew",
    "disk_full": "there is no space for the log, or too little for the next checkpoint",
    "checkpoint_failed": "the last checkpoint failed; the log grows until one succeeds",
    "checkpoint_stale": "no checkpoint is written though it is long due; a crash now takes long to open from",
    "archive_failed": "the log could not be archived; it grows until that succeeds",
    "follower_stalled": "a mark stands still and holds the log back, so the disk fills up",
    "clock_jumped": "the clock of this machine jumped: scores and windows of now are of another time",
    "clock_behind": "the newest event is ahead of this machine's clock by more than events may be",
}


@record
class HealthLimits:
    """From when on a database is unwell.

    - ``free_bytes``: less space on the disk than this, or than a checkpoint and a segment of the log take.
    - ``follower``: a mark that did not move for so long, while there were events that it has not.
    - ``checkpoint``: no checkpoint for so long, though ``checkpoint_factor`` times ``checkpoint_bytes`` were
      logged since.
    - ``clock``: a jump of the wall clock by more than this; it is told for ten minutes.

    Raises InvalidOption or InvalidDuration for what cannot be meant.

    >>> HealthLimits(follower="1h").free_bytes
    67108864
    """

    free_bytes: int = 64 << 20
    follower: Duration = "15m"
    checkpoint: Duration = "10m"
    checkpoint_factor: float = 4.0
    clock: Duration = "60s"

    def __post_init__(self) -> None:
        if type(self.free_bytes) is not int or self.free_bytes < 0:
            raise InvalidOption(
                f"tidal.HealthLimits(free_bytes={self.free_bytes!r}): choose bytes, 0 or more"
            )
        if not isinstance(self.checkpoint_factor, int | float) or not self.checkpoint_factor >= 1:
            raise InvalidOption(
                f"tidal.HealthLimits(checkpoint_factor={self.checkpoint_factor!r}): choose 1 or more"
            )
        for duration in (self.follower, self.checkpoint, self.clock):
            parse_duration(duration)


@record
class HealthReason:
    """Why a database is unwell: ``code`` is one of a few words for programs, ``message`` is for people."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


@record
class Health:
    """Whether a database is well, and if not, why."""

    ok: bool
    reasons: tuple[HealthReason, ...] = ()


@record
class Vitals:
    """What is seen of a database at one moment. Times are ns; ``uptime`` is of a clock that never jumps."""

    uptime: int
    wall_clock: int | None  # None: it is not this machine's
    newest_event: int | None
    future_skew: int | None  # how far events may lie ahead of the wall clock; None: any distance
    last_seq: int
    failure: str | None = None  # why nothing more is recorded
    no_space: str | None = None  # what the log was refused last
    free_bytes: int | None = None
    needed_bytes: int = 0  # of the next checkpoint and segment
    checkpoint_error: str | None = None
    archive_error: str | None = None
    unsaved_bytes: int = 0  # logged since the last checkpoint
    unsaved_ns: int = 0  # since then
    checkpoint_bytes: int | None = None  # between two of them; None: only on demand
    marks: Mapping[str, int] | None = None


_JUMP_TOLD_NS: Final = 600 * NS_PER_SECOND


class HealthWatch:
    """Judges a database, again and again: what stands still or jumps shows only from one look to the next.

    Calls must not overlap.
    """

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._follower, self._clock = parse_duration(limits.follower), parse_duration(limits.clock)
        self._checkpoint = parse_duration(limits.checkpoint)
        self._behind: dict[str, tuple[int, int]] = {}  # mark -> where it is, and since when it stands there
        self._offset: int | None = None  # wall clock less uptime
        self._jump: tuple[int, int] | None = None  # when it was seen, and by how much

    def judge(self, seen: Vitals) -> Health:
        """Return whether the database is well."""
        reasons = tuple(
            HealthReason(code, message)
            for check in (self._log, self._space, self._saving, self._followers, self._clocks)
            for code, message in check(seen)
        )
        return Health(not reasons, reasons)

    def _log(self, seen: Vitals) -> Iterator[tuple[str, str]]:
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

    def _followers(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        behind = {name: seq for name, seq in (seen.marks or {}).items() if seq < seen.last_seq}
        before, self._behind = self._behind, {}
        for name, seq in sorted(behind.items()):
            at, since = before.get(name, (seq, seen.uptime))
            since = since if at == seq else seen.uptime
            self._behind[name] = seq, since
            if (still := seen.uptime - since) > self._follower:
                what = f"the mark {name!r} has not moved for {still / NS_PER_SECOND:,.0f} s"
                yield "follower_stalled", f"{what}, and is {seen.last_seq - seq:,} events behind"

    def _clocks(self, seen: Vitals) -> Iterator[tuple[str, str]]:
        if seen.wall_clock is None:
            return
        offset = seen.wall_clock - seen.uptime
        if self._offset is not None and abs(by := offset - self._offset) > self._clock:
            self._jump = seen.uptime, by
        self._offset = offset
        if self._jump is not None and seen.uptime - self._jump[0] <= _JUMP_TOLD_NS:
            yield "clock_jumped", f"the clock jumped by {self._jump[1] / NS_PER_SECOND:+,.0f} s"
        if seen.newest_event is not None and seen.future_skew is not None:
            ahead = seen.newest_event - seen.wall_clock
            if ahead > seen.future_skew + self._clock:
                yield "clock_behind", f"the newest event is {ahead / NS_PER_SECOND:,.0f} s ahead of the clock"
