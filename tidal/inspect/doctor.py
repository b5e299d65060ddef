"""What is unwise about a store and its place: each check is a function of a survey and the time.

Nothing here reads a file: that was the survey. So nothing here can fail, and a test can make any store up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tidal.checkpoint.writer import CHECKPOINTS_KEPT
from tidal.inspect.findings import Finding, Severity
from tidal.inspect.survey import Survey
from tidal.schema.durations import NS_PER_SECOND
from tidal.wal.writer import SEGMENT_BYTES_DEFAULT

SKEW_NS: Final = 900 * NS_PER_SECOND  # open() takes events that are ten minutes ahead, unless told otherwise
REOPEN_SECONDS: Final = 30.0
UNSYNCED_SINGLES: Final = 256  # callers that wait together for one sync are fewer
FREE_SHARE: Final = 0.05  # of the disk, if that is less than FREE_BYTES
FREE_BYTES: Final = 20 << 30
FREE_FILES: Final = 1000
TESTED: Final = ("ext4", "xfs")  # under power cuts: docs/durability.md
VOLATILE: Final = ("tmpfs", "ramfs", "overlay")
UNSAFE_OPTIONS: Final = ("nobarrier", "barrier=0")

MEANINGS: Final = {
    Severity.DAMAGE: "bytes are not what was written, or are missing",
    Severity.UNREADABLE: "nothing is known of it: the machine refused to read, or this tidal is too old",
    Severity.RISK: "nothing is lost, but this may lose something or stop the store",
    Severity.UNFINISHED: "a writer at work or a crash leaves it so; the next open settles it",
    Severity.NOTE: "worth knowing",
}
MEANS: Final = {
    "sync-weak": "events were acknowledged before they were on the disk: a power cut loses the newest",
    "space-low": "the next checkpoint or segment may not fit: then writes are refused until there is space",
    "files-low": "the file system is about to run out of inodes: then writes are refused as on a full disk",
    "clock-behind": "scores and counts at the present are of a time before the newest events",
    "checkpoint-old": "after a crash the store takes that long to open",
    "checkpoint-single": "if it rots, the events that are gone from the history can be counted no more",
    "quarantine": "an open found damage or a torn end, and kept the bytes; nobody has looked at them since",
    "access-wide": "other users of this machine can read or change what the store holds",
    "owner-mixed": "tidal opens no file of another user, so the store may not open",
    "disk-volatile": "what is here is gone after a restart of the machine or container",
    "disk-untested": "its promises under power cuts were never tried with tidal; locks may not hold on it",
    "disk-unsafe": "the disk may reorder writes, so a power cut can lose what was synced",
    "disk-readonly": "no process can write to the store",
    "mark-lost": "what it still needs is gone from the log and the archive: it cannot catch up",
    "mark-ahead": "it has events that this store has not: an older copy of the store was put back",
    "mark-behind": "the log keeps everything after it, so the disk fills up if it never moves",
    "memory-small": "the state may not fit into the memory of this machine",
    "broker-sync": "a power cut takes what the broker acknowledged and had not synced",
    "broker-old": "it cannot sync what it acknowledges, or may store a message twice when its leader changes",
    "broker-replicas": "what waits there is lost with its server, or cannot be had until it is back",
    "broker-streams": "it stores nothing, so tidal cannot use it",
}

_Check = Callable[[Survey, int], Iterator[Finding]]


def examine(found: Survey, now: int) -> tuple[Finding, ...]:
    """Return what is damaged, missing or unwise about a store, the worst first; ``now``: wall time in ns."""
    findings = [*found.findings, *(finding for check in _CHECKS for finding in check(found, now))]
    return tuple(sorted(findings, key=lambda finding: list(Severity).index(finding.severity)))


def meaning(finding: Finding) -> str:
    """Return what a finding means for whoever runs the store."""
    return MEANS.get(finding.code, MEANINGS[finding.severity])


def _risk(code: str, file: str, what: str, seqs: tuple[int, int] | None = None) -> Finding:
    first, last = seqs or (None, None)
    return Finding(Severity.RISK, code, file, what, None, first, last)


# ------------------------------------------------------------------------------------ the store


def _sync(found: Survey, now: int) -> Iterator[Finding]:
    if (singles := found.log.unsynced_singles) >= UNSYNCED_SINGLES:
        yield _risk("sync-weak", "wal", f"{singles:,} events in a row were recorded without a sync between")


def _clock(found: Survey, now: int) -> Iterator[Finding]:
    ahead = [("the newest event", found.newest_time), ("the newest segment", found.log.created_at)]
    for name, time in ahead:
        if time is not None and time > now + SKEW_NS:
            seconds = (time - now) / NS_PER_SECOND
            yield _risk("clock-behind", "wal", f"{name} is {seconds:,.0f} s ahead of this machine's clock")


def _checkpoint(found: Survey, now: int) -> Iterator[Finding]:
    ahead = found.reopening
    if ahead.estimated_seconds > REOPEN_SECONDS:
        what = f"{ahead.replay_events:,} events to replay, about {ahead.estimated_seconds:,.0f} s"
        yield _risk("checkpoint-old", "checkpoints", what)
    if 0 < len(found.checkpoints) < CHECKPOINTS_KEPT and found.first_seq != 1:
        yield _risk("checkpoint-single", found.checkpoints[0].file, "the only checkpoint that can be read")


def _quarantine(found: Survey, now: int) -> Iterator[Finding]:
    if count := len(found.quarantined):
        names = ", ".join(found.quarantined[:3]) + (", ..." if count > 3 else "")
        yield _risk("quarantine", "quarantine", f"{count} {'file' if count == 1 else 'files'}: {names}")


def _marks(found: Survey, now: int) -> Iterator[Finding]:
    first, last = found.first_seq, found.last_seq
    held = found.log.start_seq or first
    for name, seq in sorted(found.marks.items()):
        file = f"archive/marks.json: {name}"
        if seq > last:
            yield _risk("mark-ahead", file, f"it is at event {seq:,}, the store ends at {last:,}")
        elif first > seq + 1:
            what = f"it is at event {seq:,}, the history begins at {first:,}"
            yield _risk("mark-lost", file, what, (seq + 1, first - 1))
        elif seq + 1 <= held and found.disk.get("log", 0) > 4 * SEGMENT_BYTES_DEFAULT:
            what = f"{last - seq:,} events behind; the log has {found.disk['log']:,} bytes"
            yield _risk("mark-behind", file, what)


# ------------------------------------------------------------------------------------ the place


def _space(found: Survey, now: int) -> Iterator[Finding]:
    place = found.place
    if place.free_bytes is not None and place.total_bytes:
        # A checkpoint is written beside the two that are kept, and a segment beside those there are.
        needed = found.reopening.checkpoint_bytes * 2 + SEGMENT_BYTES_DEFAULT
        share = place.free_bytes / place.total_bytes
        if place.free_bytes < needed or (share < FREE_SHARE and place.free_bytes < FREE_BYTES):
            yield _risk("space-low", ".", f"{place.free_bytes:,} bytes are free, {share:.1%} of the disk")
    if place.free_files is not None and place.free_files < FREE_FILES:
        yield _risk("files-low", ".", f"{place.free_files:,} more files can be made")


def _access(found: Survey, now: int) -> Iterator[Finding]:
    access = found.place.access
    if not access:
        return
    base = access[0]
    # What lies below a folder that nobody else may enter is out of reach.
    wide = [one for one in access if one.mode & 0o022 or (one.mode & 0o007 and base.mode & 0o005)]
    if base.mode & 0o077 and wide:
        what = f"mode {wide[0].mode:03o}" + (f", and {len(wide) - 1} more like it" if wide[1:] else "")
        yield _risk("access-wide", _name(found.path, wide[0].path), what)
    others = [one for one in access if one.owner != base.owner]
    if others:
        what = f"it belongs to user {others[0].owner}, the store to {base.owner}; so do {len(others)} names"
        yield _risk("owner-mixed", _name(found.path, others[0].path), what)


def _disk(found: Survey, now: int) -> Iterator[Finding]:
    mount = found.place.mount
    if mount is None:
        return
    where = f"the store is on {mount.type}, mounted at {mount.point}"
    if mount.type in VOLATILE:
        yield _risk("disk-volatile", ".", where)
    elif mount.type not in TESTED:
        yield _risk("disk-untested", ".", where)
    if unsafe := sorted(set(UNSAFE_OPTIONS) & set(mount.options)):
        yield _risk("disk-unsafe", ".", f"{where} with {', '.join(unsafe)}")
    if "ro" in mount.options:
        yield _risk("disk-readonly", ".", f"{where}, to be read only")


def _memory(found: Survey, now: int) -> Iterator[Finding]:
    memory, needed = found.place.memory_bytes, found.reopening.checkpoint_bytes
    if memory is not None and needed > memory // 2:
        yield _risk("memory-small", ".", f"a checkpoint of {needed:,} bytes, {memory:,} bytes of memory")


def _name(base: Path, path: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


_CHECKS: Final[tuple[_Check, ...]] = (
    _sync, _clock, _checkpoint, _quarantine, _marks, _space, _access, _disk, _memory
)  # fmt: skip
