"""What the log holds, checked when a store opens; nothing is ever written here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tidal.durable import FileSystem
from tidal.errors import CorruptLog, MissingSegment
from tidal.format.manifest import MANIFEST_NAME, ListedSegment, Manifest
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.records import record
from tidal.wal.files import sort_out
from tidal.wal.segments import (
    Link,
    SegmentInfo,
    SegmentWalk,
    check_ends,
    read_segment,
    require_header,
    walk_to_end,
)
from tidal.wal.tail import TornTail, scan_tail

Archived = Callable[[ListedSegment], bool]  # whether the archive has exactly this segment, whole


class ReplacedSegment(NamedTuple):
    """A listed segment that is damaged or gone, and whose events the archive has."""

    listed: ListedSegment
    path: Path | None  # the damaged file, if there is one
    reason: str


@record
class LogScan:
    """What the log holds."""

    segments: tuple[SegmentInfo, ...]
    tip: Link  # the last event, and the hash that the next segment names as its predecessor's
    proven: bool  # the manifest lists the last segment, which was durable then
    torn: TornTail | None = None
    gaps: tuple[tuple[int, int], ...] = ()  # missing ranges of sequences, all at or below after_seq
    replaced: tuple[ReplacedSegment, ...] = ()
    leftovers: tuple[Path, ...] = ()  # to be removed once the store is open for writing
    copies: tuple[Path, ...] = ()  # of segments, under other names; a repair moves them to quarantine
    notes: tuple[str, ...] = ()  # for people
    quarantined: tuple[Path, ...] = ()  # by a repair: where what it took out lies now
    hash_there: bytes | None = None  # of the batch that ends at after_seq, zeros if none does; None: not read

    @property
    def last_seq(self) -> int:
        return self.tip.last_seq

    @property
    def head_hash(self) -> bytes:
        return self.tip.final_hash

    @property
    def epoch(self) -> int:
        """The highest epoch that wrote to the log, 0 if none did."""
        return max((segment.header.log.epoch for segment in self.segments), default=0)

    @property
    def needs_repair(self) -> bool:
        """Whether repair_tail must run before a writer starts."""
        return bool(self.torn or not self.proven or self.copies or any(it.path for it in self.replaced))


def scan_log(
    fs: FileSystem,
    directory: Path,
    identity: LogIdentity,
    *,
    after_seq: int = 0,
    manifest: Manifest | None = None,
    archived: Archived | None = None,
    live: bool = False,
) -> LogScan:
    """Return what the log holds, with every batch after ``after_seq`` checked.

    Segments that end at or below after_seq (a checkpoint has their events) are checked at their two
    ends only. Without a manifest the log is taken for what is there. ``live``: for readers, beside whom
    another process may write. An unfinished end is made durable before it is read, since they will not
    write it anew, and what is being written to it is not there yet.

    Raises CorruptLog for damage that no crash explains, MissingSegment for a gap above
    after_seq, FormatTooNew, and StorageError if a file cannot be read: that is never taken for its end.
    """
    return _Scan(fs, directory, identity, after_seq, manifest, archived or (lambda _: False), live).run()


class _Scan:
    def __init__(
        self,
        fs: FileSystem,
        directory: Path,
        identity: LogIdentity,
        after_seq: int,
        manifest: Manifest | None,
        archived: Archived,
        live: bool,
    ) -> None:
        self._fs, self._directory, self._identity = fs, directory, identity
        self._after_seq, self._manifest, self._archived, self._live = after_seq, manifest, archived, live
        self._listed = {segment.base_seq: segment for segment in manifest.segments} if manifest else {}
        self._segments: list[SegmentInfo] = []
        self._gaps: list[tuple[int, int]] = []
        self._replaced: list[ReplacedSegment] = []
        self._torn: TornTail | None = None
        self._proven = True
        self._hash_there: bytes | None = None
        self._tip: Link | None = None
        if manifest is not None:
            self._tip = Link(manifest.start_seq - 1, manifest.start_hash, 0, MANIFEST_NAME)

    def run(self) -> LogScan:
        start_seq = self._manifest.start_seq if self._manifest else 1
        files = sort_out(self._fs, self._directory, self._identity, start_seq)
        bases = sorted({*files.segments, *self._listed})
        for position, base_seq in enumerate(bases):
            following = bases[position + 1] if position + 1 < len(bases) else None
            path = files.segments.get(base_seq)
            if (listed := self._listed.get(base_seq)) is not None:
                self._take_listed(listed, path)
            elif path is not None:
                self._take_unlisted(base_seq, path, following)
        tip = self._tip or Link(0, NO_HASH, 0, "")
        return LogScan(
            tuple(self._segments), tip, self._proven, self._torn, tuple(self._gaps), tuple(self._replaced),
            files.leftovers, files.copies, files.notes, hash_there=self._hash_there,
        )  # fmt: skip

    def _take_listed(self, listed: ListedSegment, path: Path | None) -> None:
        """A segment that was whole and durable when it was listed: no crash excuses it."""
        covered = listed.last_seq <= self._after_seq
        end = Link(listed.last_seq, listed.final_hash, self._tip.epoch if self._tip else 0, MANIFEST_NAME)
        try:
            if path is None:
                raise MissingSegment(listed.base_seq, listed.last_seq, self._directory)
            info = self._check_sealed(path, covered)
            if info.listing != listed:
                raise CorruptLog(path, 0, f"not the segment that {MANIFEST_NAME} lists: it was replaced")
        except (CorruptLog, MissingSegment) as error:
            if self._archived(listed):
                self._replaced.append(ReplacedSegment(listed, path, str(error)))
            elif path is None and covered:
                self._gaps.append((listed.base_seq, listed.last_seq))
            else:
                raise
            self._check_gap(listed.base_seq)
            self._tip = end
        else:
            self._append(info)

    def _take_unlisted(self, base_seq: int, path: Path, following: int | None) -> None:
        """A segment newer than the manifest; the last one may be unfinished."""
        if self._manifest is not None and self._manifest.clean:
            raise CorruptLog(
                path, 0,
                f"{MANIFEST_NAME} says that the log was closed at event {self._manifest.last_seq}, and does "
                "not list this segment: one of the two is not of this log's last state",
            )  # fmt: skip
        if following is not None:
            self._append(self._check_sealed(path, following <= self._after_seq + 1))
            return
        walk, self._torn = scan_tail(
            self._fs, path, self._identity, base_seq, live=self._live, watch=self._after_seq
        )
        if walk is not None:
            self._append(self._looked_at(walk))
            self._proven = False  # sealed or not: a seal whose sync failed looks well in the kernel's cache
        elif self._check_gap(base_seq) and self._tip is not None and base_seq <= self._tip.last_seq:
            raise CorruptLog(path, 0, f"no good header, after events to {self._tip.last_seq}")

    def _check_sealed(self, path: Path, covered: bool) -> SegmentInfo:
        if covered:
            return check_ends(self._fs, path, self._identity)
        data = read_segment(self._fs, path)
        walk = walk_to_end(require_header(path, data, self._identity), data, self._after_seq)
        require_sealed(walk)
        return self._looked_at(walk)

    def _looked_at(self, walk: SegmentWalk) -> SegmentInfo:
        """Return what a walk found, and note which batch ends where the checkpoint does."""
        if walk.info.base_seq <= self._after_seq <= walk.info.last_seq:
            self._hash_there = walk.watched or NO_HASH
        return walk.info

    def _append(self, info: SegmentInfo) -> None:
        epoch = info.header.log.epoch
        if self._manifest is not None and epoch > self._manifest.epoch:
            raise CorruptLog(
                self._directory / MANIFEST_NAME, 0,
                f"of epoch {self._manifest.epoch}, older than {info.path.name} of epoch {epoch}: "
                "it was replaced by an earlier state; restore the newest",
            )  # fmt: skip
        if self._check_gap(info.base_seq) and self._tip is not None:
            check_chain(self._tip, info)
        self._segments.append(info)
        self._tip = info.link

    def _check_gap(self, base_seq: int) -> bool:
        """Return whether what begins here follows at once; a gap is noted, or refused."""
        expected = self._tip.last_seq + 1 if self._tip else min(base_seq, self._after_seq + 1)
        if base_seq > expected:
            if base_seq - 1 > self._after_seq:
                raise MissingSegment(max(expected, self._after_seq + 1), base_seq - 1, self._directory)
            self._gaps.append((expected, base_seq - 1))
        return base_seq <= expected


def check_chain(before: Link, info: SegmentInfo) -> None:
    """Raise CorruptLog unless the segment continues what is before it."""
    if info.base_seq != before.last_seq + 1:
        raise CorruptLog(
            info.path, 0, f"it begins at event {info.base_seq}, {before.name} ends at {before.last_seq}"
        )
    if info.header.previous != before.final_hash:
        raise CorruptLog(info.path, 0, f"it does not continue {before.name}: one of them was replaced")
    if info.header.log.epoch < before.epoch:
        epoch = info.header.log.epoch
        raise CorruptLog(info.path, 0, f"epoch {epoch} after epoch {before.epoch} of {before.name}")


def require_sealed(walk: SegmentWalk) -> None:
    """Raise CorruptLog unless the walk reached a seal: only the last segment may be without one."""
    if not walk.info.sealed:
        lost = walk.info.last_seq + 1
        reason = f"{walk.stopped or 'the segment has no seal'}; events from {lost} on are unreadable"
        raise CorruptLog(walk.info.path, walk.info.size, reason)
