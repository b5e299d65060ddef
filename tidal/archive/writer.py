"""A sealed segment archived: read, verified, encoded anew, written, and read back before it counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidal.archive.blocks import join_blocks
from tidal.archive.dictionaries import Dictionary, make_dictionaries
from tidal.archive.reader import ArchiveFile
from tidal.durable import FileSystem, replace_file
from tidal.errors import CorruptArchive, FormatError, FormatTooNew, LimitExceeded
from tidal.format.archive import PlainHash, archive_name, encode_archive, encode_block, header_hash
from tidal.format.archive_manifest import ArchivedFile
from tidal.format.frame import Frame
from tidal.format.payload import EVENTS_PER_BATCH_MAX
from tidal.format.segment import SEAL, LogIdentity, decode_seal
from tidal.schema import EventBatch, Schema
from tidal.schema.evolution import schema_to_json
from tidal.wal.frames import decode_frames
from tidal.wal.scan import require_sealed
from tidal.wal.segments import SegmentInfo, SegmentWalk, read_segment, require_header

DICTIONARY_EVENTS_MIN: Final = 2 * EVENTS_PER_BATCH_MAX  # fewer do well with the dictionaries of their blocks


def archive_segment(
    fs: FileSystem, directory: Path, segment: Path, *, identity: LogIdentity, schema: Schema
) -> ArchivedFile:
    """Return the archive file of a sealed segment, once it is durable and was read back whole.

    The segment is read from the device and every hash of it checked. What was written is decoded again, and
    its events compared, by their hash, with those that the segment's own batches hold. The segment stays
    as it is. The same segment and schema always give the same bytes.

    Raises CorruptLog for a damaged segment, LimitExceeded for one that no archive holds, StorageError
    (NoSpace) and CorruptArchive with no file left behind.
    """
    data = read_segment(fs, segment, from_device=True)
    opening = require_header(segment, data, identity)
    dictionaries: list[Dictionary] = []
    if _promised_events(opening, data) >= DICTIONARY_EVENTS_MIN:
        dictionaries = make_dictionaries(join_blocks(_Source(SegmentWalk(opening, data), data).batches()))
    codes = {it.entry.tag: it.codes for it in dictionaries}
    source = _Source(SegmentWalk(opening, data), data)
    try:
        blocks = []
        first_seq = source.walk.info.base_seq
        for batch in join_blocks(source.batches()):
            blocks.append(encode_block(batch, first_seq, source.received_at, codes))
            first_seq += len(batch)
        require_sealed(source.walk)
        info = source.walk.info
        header, parts = encode_archive(
            info.header, info.seal(), info.size, schema_to_json(schema), blocks, source.plain.digest(),
            [(it.entry, it.stored) for it in dictionaries],
        )  # fmt: skip
    except FormatError:
        raise
    except ValueError as error:
        raise LimitExceeded(f"{segment} cannot be archived: {error}") from error

    def verify(path: Path) -> None:
        with ArchiveFile(fs, path, from_device=True) as written:
            if written.header != header:
                raise CorruptArchive(path, 0, "what was read back is not the archive that was written")
            written.verify()

    replace_file(fs, directory / archive_name(info.header.log, info.base_seq), parts, verify)
    return ArchivedFile(
        info.base_seq, info.last_seq, header.file_bytes, info.min_time, info.max_time, info.types,
        info.final_hash, header_hash(header),
    )  # fmt: skip


def _promised_events(opening: SegmentInfo, data: memoryview) -> int:
    """Return how many events the segment's seal says that it has; 0 without one, which the walk will find."""
    try:
        start = max(len(data) - SEAL.size, 0)
        return decode_seal(data[start:], start, opening.header.identity).events
    except (FormatError, FormatTooNew):
        return 0


class _Source:
    """The batches of a segment, and what was seen of them so far."""

    def __init__(self, walk: SegmentWalk, data: memoryview) -> None:
        self.walk, self.plain = walk, PlainHash()
        self.received_at = 0
        self._data = data

    def batches(self) -> Iterator[EventBatch]:
        """Yield the batches in order, those of single events joined."""
        for _, batch in decode_frames(self.walk.info.path, self._data, self._frames()):
            self.plain.add(batch)
            yield batch

    def _frames(self) -> Iterator[Frame]:
        for frame, summary in self.walk:
            self.received_at = summary.received_at
            yield frame
