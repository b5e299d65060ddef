"""One segment of the log, whatever its state: what is good in it, and what that says of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tidal.durable import FileSystem
from tidal.errors import FormatError
from tidal.format.frame import Frame
from tidal.format.payload import SUMMARY, TypeSet, decode_payload
from tidal.format.segment import (
    SEGMENT_HEADER,
    LogIdentity,
    SegmentHeader,
    decode_segment_header,
    parse_segment_name,
)
from tidal.inspect.findings import Notebook, Severity
from tidal.records import record
from tidal.wal.segments import has_data, read_segment
from tidal.wal.sift import Bad, Hole, SealAt, TooNew, Unit, guess_header, sift


@record
class Contents:
    """A segment's bytes, and the units in them. Without a header nothing behind it can be checked."""

    path: Path
    data: memoryview
    header: SegmentHeader | None
    link: bytes | None  # the header's hash; None if the header is damaged
    problem: str | None  # what is wrong with the header
    units: tuple[Unit, ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(unit for unit in self.units if isinstance(unit, Frame))

    @property
    def sealed(self) -> bool:
        return bool(self.units) and isinstance(self.units[-1], SealAt)

    @property
    def last_seq(self) -> int:
        """The last event that a good batch or seal tells of; without one the event before the segment."""
        if self.units and isinstance(last := self.units[-1], SealAt):
            return last.seal.last_seq
        frames = self.frames
        return frames[-1].last_seq if frames else self.header.base_seq - 1 if self.header else 0

    @property
    def head_hash(self) -> bytes | None:
        """The hash that what comes after this segment names; None if the damage has it."""
        if not self.units:
            return self.link
        last = self.units[-1]
        if isinstance(last, SealAt):
            return last.seal.final_hash
        return last.hash if isinstance(last, Frame) else None


def read_contents(
    fs: FileSystem, path: Path, guesses: Iterable[LogIdentity] = (), previous: bytes = bytes(32)
) -> Contents:
    """Return what is in a segment's file.

    ``guesses`` are whose log it may be, for a file whose header is damaged: a frame proves one of them.
    Raises FormatTooNew, StorageError, and CorruptionError for what is no plain file.
    """
    data = read_segment(fs, path)
    header: SegmentHeader | None
    link: bytes | None
    try:
        header, link = decode_segment_header(data)
        problem = None
    except FormatError as error:
        header, link, problem = None, None, str(error)
        if (parsed := parse_segment_name(path.name)) is not None:
            header = guess_header(data, parsed[2], guesses, previous)
    units = tuple(sift(data, SEGMENT_HEADER.size, header.identity)) if header else ()
    return Contents(path, data, header, link, problem, units)


@record
class Around:
    """What is known about a segment from outside it."""

    following: int | None  # the next segment's first sequence; None: it is the last
    clean: bool = False  # the log was closed cleanly: no crash explains an unfinished end
    types: TypeSet | None = None  # those that the schema declares


def check_contents(found: Contents, around: Around, book: Notebook) -> None:
    """Note all that is wrong inside one segment."""
    header = found.header
    if header is None:
        _check_unborn(found, around, book)
        return
    if found.problem:
        what = f"{found.problem}; its batches prove which segment it is, they are checked all the same"
        book.damage("header-damaged", found.path, what, offset=0)
    expected, link = header.base_seq, found.link
    bad: list[Bad] = []
    torn_from = _torn_from(found, around)
    for unit in found.units:
        if unit.offset == torn_from:
            _note_torn(found, torn_from, expected, book)
            return
        if isinstance(unit, Bad):
            bad.append(unit)
            link = None
            continue
        first = unit.seal.last_seq + 1 if isinstance(unit, SealAt) else unit.first_seq
        if bad:
            _note_bad(found, bad, (expected, first - 1), book)
        elif first != expected:
            what = f"event {first} does not follow event {expected - 1} there"
            book.damage("batch-misfit", found.path, what, offset=unit.offset)
        if isinstance(unit, SealAt):
            whole = found.problem is None and not any(isinstance(other, Bad) for other in found.units)
            _check_seal(found, unit, book, whole=whole)
            return
        if link is not None and unit.link != link:
            what = "the batch does not continue the one before it: one of them was replaced"
            book.damage("batch-misfit", found.path, what, offset=unit.offset)
        _check_payload(found, unit, around.types, book)
        expected, link, bad = unit.last_seq + 1, unit.hash, []
    if bad:
        last = around.following - 1 if around.following else expected - 1
        _note_bad(found, bad, (expected, last), book)
    elif around.following is not None:
        what = "the segment has no seal, but another one follows it"
        seqs = (expected, around.following - 1) if around.following > expected else None
        book.damage("seal-missing", found.path, what, offset=len(found.data), seqs=seqs)
    elif around.clean:
        what = "the segment has no seal, but the log was closed cleanly"
        book.damage("seal-missing", found.path, what, offset=len(found.data))
    else:
        what = f"the log was not closed: the segment has no seal after event {expected - 1}"
        book.add(Severity.UNFINISHED, "log-open", found.path, what, offset=len(found.data))


def _check_unborn(found: Contents, around: Around, book: Notebook) -> None:
    if around.following is None and not around.clean and not has_data(found.data[SEGMENT_HEADER.size :]):
        what = f"a segment that was being made: {found.problem}"
        book.add(Severity.UNFINISHED, "segment-unborn", found.path, what, offset=0)
        return
    parsed = parse_segment_name(found.path.name)
    seqs = (parsed[2], around.following - 1) if parsed and around.following else None
    what = f"{found.problem}; nothing behind it can be checked without it"
    book.damage("header-damaged", found.path, what, offset=0, seqs=seqs)


def _torn_from(found: Contents, around: Around) -> int | None:
    """Return where the torn end of the log begins, None if there is none: damage behind which nothing says
    that what is damaged had been synced.
    """
    if around.following is not None or around.clean:
        return None
    lost, last = None, found.header.base_seq - 1 if found.header else 0
    for unit in found.units:
        if isinstance(unit, TooNew) or (isinstance(unit, Hole) and not unit.searched):
            return None
        if isinstance(unit, Hole):
            lost = lost or (unit.offset, last + 1)
        elif lost is None:
            last = unit.last_seq if isinstance(unit, Frame) else last
        elif (unit.durable_seq if isinstance(unit, Frame) else unit.seal.last_seq) >= lost[1]:
            return None
    return lost[0] if lost else None


def _note_torn(found: Contents, offset: int, first: int, book: Notebook) -> None:
    size = len(found.data) - offset
    what = (
        f"the last {size:,} bytes are an unfinished write: no batch behind them says that event {first} was "
        "on the disk"
    )
    book.add(Severity.UNFINISHED, "tail-torn", found.path, what, offset=offset)


def _note_bad(found: Contents, bad: list[Bad], seqs: tuple[int, int], book: Notebook) -> None:
    """Note what lies between two good units, or at the end, and the events that were in it."""
    some = seqs[1] >= seqs[0]
    for unit in bad:
        what = f"{unit.reason} ({unit.end - unit.offset:,} bytes)" + (
            "" if some else "; no event is lost by it"
        )
        severity, code = Severity.DAMAGE, "batch-damaged"
        if isinstance(unit, TooNew):
            severity, code = Severity.UNREADABLE, "too-new"
        book.add(severity, code, found.path, what, offset=unit.offset, seqs=seqs if some else None)


def _check_seal(found: Contents, unit: SealAt, book: Notebook, *, whole: bool) -> None:
    frames = found.frames
    if whole and frames and found.header:
        seal, last = unit.seal, frames[-1]
        said = (seal.last_seq, seal.batches, seal.events, seal.final_hash)
        if said != (last.last_seq, len(frames), last.last_seq - found.header.base_seq + 1, last.hash):
            what = "the seal does not agree with the batches before it"
            book.damage("seal-misfit", found.path, what, offset=unit.offset)
    if unit.end != len(found.data):
        what = f"{len(found.data) - unit.end:,} bytes after the seal"
        book.damage("seal-misfit", found.path, what, offset=unit.end)


def _check_payload(found: Contents, frame: Frame, types: TypeSet | None, book: Notebook) -> None:
    payload, seqs = found.data[frame.payload], (frame.first_seq, frame.last_seq)
    try:
        decode_payload(payload, frame.events)
    except FormatError as error:
        what = f"the batch's hash is good, but it cannot be decoded: {error}"
        book.damage("batch-misfit", found.path, what, offset=frame.offset, seqs=seqs)
        return
    used = int.from_bytes(SUMMARY.unpack_from(payload)[2], "little")
    if types is not None and (unknown := used & ~int.from_bytes(types, "little")):
        ids = ", ".join(str(t) for t in range(256) if unknown >> t & 1)
        what = f"events of signal types that the schema does not declare: ids {ids}"
        book.damage("unknown-type", found.path, what, offset=frame.offset, seqs=seqs)
