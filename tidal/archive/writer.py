"""Sealed segments archived: read, verified, encoded anew, written, and read back before they count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Final

from tidal.archive.blocks import join_blocks
from tidal.archive.dictionaries import DictionariesFull, Dictionary, make_dictionaries
from tidal.archive.reader import ArchiveFile
from tidal.durable import FileSystem, replace_file
from tidal.errors import CorruptArchive, CorruptLog, FormatError, LimitExceeded
from tidal.format.archive import PlainHash, archive_name, encode_archive, encode_block, header_hash
from tidal.format.archive_manifest import ArchivedFile, SegmentEnd
from tidal.format.frame import Frame
from tidal.format.payload import EVENTS_PER_BATCH_MAX, union_types
from tidal.format.segment import LogIdentity, Seal
from tidal.schema import EventBatch, Schema
from tidal.schema.evolution import schema_to_json
from tidal.wal.frames import decode_frames
from tidal.wal.scan import require_sealed
from tidal.wal.segments import SegmentInfo, SegmentWalk, check_ends, read_segment, require_header

DICTIONARY_EVENTS_MIN: Final = 2 * EVENTS_PER_BATCH_MAX  # fewer do well with the dictionaries of their blocks


def archive_segments(
    fs: FileSystem, directory: Path, segments: Sequence[Path], *, identity: LogIdentity, schema: Schema
) -> ArchivedFile:
    """Return the archive file of sealed segments in a row, once it is durable and was read back.

    It has all of them, or the first half (of that, ...) where so many events have more ids than the
    dictionaries of one file.

    The segments are read from the device and every hash of them checked. What was written is decoded again,
    and its events compared, by their hash, with those that the segments' own batches hold. The segments stay
    as they are. The same segments and schema always give the same bytes. Memory: one segment, the file, and
    what make_dictionaries() takes.

    Raises CorruptLog for a damaged segment and one that does not continue the one before it, LimitExceeded
    for what no archive holds, StorageError (NoSpace) and CorruptArchive with no file left behind.
    """
    source = _Source(fs, segments, identity)
    try:
        dictionaries = _dictionaries(source)
    except DictionariesFull:
        half = segments[: len(segments) // 2]
        return archive_segments(fs, directory, half, identity=identity, schema=schema)
    codes = {it.entry.tag: it.codes for it in dictionaries}
    try:
        blocks = []
        first_seq = 0
        for batch in join_blocks(source.batches()):
            first_seq = first_seq or source.done[0].base_seq
            blocks.append(encode_block(batch, first_seq, source.received_at, codes))
            first_seq += len(batch)
        infos = source.done
        header, parts = encode_archive(
            infos[0].header, _joined_seal(infos), sum(it.size for it in infos), schema_to_json(schema),
            blocks, source.plain.digest(), [(it.entry, it.stored) for it in dictionaries],
        )  # fmt: skip
    except FormatError:
        raise
    except ValueError as error:
        names = " and ".join(map(str, segments))
        raise LimitExceeded(f"{names} cannot be archived: {error}") from error

    def verify(path: Path) -> None:
        with ArchiveFile(fs, path, from_device=True) as written:
            if written.header != header:
                raise CorruptArchive(path, 0, "what was read back is not the archive that was written")
            written.verify()

    replace_file(fs, directory / archive_name(header.log, header.base_seq), parts, verify)
    return ArchivedFile(
        header.base_seq, header.last_seq, header.file_bytes, header.min_time, header.max_time, header.types,
        header.final_hash, header_hash(header),
        tuple(SegmentEnd(it.last_seq, it.final_hash) for it in infos[:-1]),
    )  # fmt: skip


def _dictionaries(source: _Source) -> list[Dictionary]:
    if source.promised_events() < DICTIONARY_EVENTS_MIN:
        return []
    return make_dictionaries(join_blocks(source.batches()), or_fewer=len(source.paths) > 1)


def _joined_seal(infos: Sequence[SegmentInfo]) -> Seal:
    """Return what the segments' seals say, as if they were one segment."""
    return Seal(
        infos[-1].last_seq,
        sum(it.events for it in infos),
        sum(it.batches for it in infos),
        min(it.min_time for it in infos),
        max(it.max_time for it in infos),
        reduce(union_types, (it.types for it in infos)),
        infos[-1].final_hash,
    )


class _Source:
    """The batches of some segments; of the last time that they were read, what was seen of them."""

    def __init__(self, fs: FileSystem, paths: Sequence[Path], identity: LogIdentity) -> None:
        self.paths = paths
        self._fs, self._identity = fs, identity
        self._from_device = True  # once: after that what was read is what the kernel has
        self.plain = PlainHash()
        self.received_at = 0
        self.done: list[SegmentInfo] = []  # the one that is being read is the last

    def promised_events(self) -> int:
        """Return how many events the segments' ends say that they have; reading will find what is damaged."""
        try:
            return sum(check_ends(self._fs, path, self._identity).events for path in self.paths)
        except CorruptLog:
            return 0

    def batches(self) -> Iterator[EventBatch]:
        """Yield the batches in order, those of single events joined."""
        self.plain, self.done = PlainHash(), []
        for path in self.paths:
            data = read_segment(self._fs, path, from_device=self._from_device)
            opening = require_header(path, data, self._identity)
            if self.done and not opening.continues(self.done[-1]):
                raise CorruptLog(path, 0, f"it does not continue {self.done[-1].path.name}")
            walk = SegmentWalk(opening, data)
            self.done.append(opening)
            for _, batch in decode_frames(path, data, self._frames(walk)):
                self.plain.add(batch)
                yield batch
            require_sealed(walk)
            self.done[-1] = walk.info
        self._from_device = False

    def _frames(self, walk: SegmentWalk) -> Iterator[Frame]:
        for frame, summary in walk:
            self.received_at = summary.received_at
            yield frame
