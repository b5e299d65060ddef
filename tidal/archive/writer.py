"""A sealed segment archived: read, verified, encoded anew, written, and read back before it counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidal.archive.blocks import join_blocks
from tidal.archive.reader import ArchiveFile
from tidal.durable import FileSystem, replace_file
from tidal.errors import CorruptArchive, CorruptLog, FormatError, LimitExceeded
from tidal.format.archive import PlainHash, archive_name, encode_archive, encode_block, header_hash
from tidal.format.archive_manifest import ArchivedFile
from tidal.format.frame import Frame
from tidal.format.payload import EVENTS_PER_BATCH_MAX, decode_payload
from tidal.format.segment import LogIdentity
from tidal.format.singles import decode_singles, is_single
from tidal.schema import EventBatch, Schema
from tidal.schema.evolution import schema_to_json
from tidal.wal.scan import require_sealed
from tidal.wal.segments import SegmentWalk, read_segment, require_header

_WORTH_JOINING: Final = 4  # fewer payloads are decoded sooner one by one


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
    source = _Source(SegmentWalk(require_header(segment, data, identity), data), data)
    try:
        blocks = []
        first_seq = source.walk.info.base_seq
        for batch in join_blocks(source.batches()):
            blocks.append(encode_block(batch, first_seq, source.received_at))
            first_seq += len(batch)
        require_sealed(source.walk)
        info = source.walk.info
        header, parts = encode_archive(
            info.header, info.seal(), info.size, schema_to_json(schema), blocks, source.plain.digest()
        )
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


class _Source:
    """The batches of a segment, and what was seen of them so far."""

    def __init__(self, walk: SegmentWalk, data: memoryview) -> None:
        self.walk, self.plain = walk, PlainHash()
        self.received_at = 0
        self._data = data

    def batches(self) -> Iterator[EventBatch]:
        """Yield the batches in order, those of single events joined."""
        singles: list[Frame] = []
        for frame, summary in self.walk:
            self.received_at = summary.received_at
            single = frame.events == 1 and is_single(self._data[frame.payload])
            if single:
                singles.append(frame)
            if not single or len(singles) == EVENTS_PER_BATCH_MAX:
                yield from self._joined(singles)
                singles = []
            if not single:
                yield self._taken(frame)
        yield from self._joined(singles)

    def _joined(self, singles: list[Frame]) -> Iterator[EventBatch]:
        if len(singles) < _WORTH_JOINING:
            yield from map(self._taken, singles)
            return
        try:
            batch = decode_singles([self._data[frame.payload] for frame in singles])
        except FormatError:
            yield from map(self._taken, singles)  # one of which says where
        else:
            self.plain.add(batch)
            yield batch

    def _taken(self, frame: Frame) -> EventBatch:
        try:
            batch = decode_payload(self._data[frame.payload], frame.events)
        except FormatError as error:
            raise CorruptLog(self.walk.info.path, frame.offset, str(error)) from error
        self.plain.add(batch)
        return batch
