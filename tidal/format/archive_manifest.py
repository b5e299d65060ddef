"""The manifest of an archive: which files it has, and where the history that is kept begins.

A file is listed once it is durable and was read back, and leaves the list before it is removed. So a file
that is listed and not there is lost; one that retention removed is before ``start_seq``. What is listed is
one run of events without a gap. docs/format/archive.md has the fields.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tidal.errors import FormatError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.frame import HASH_BYTES, SEQ_MAX
from tidal.format.payload import TypeSet
from tidal.format.segment import NO_HASH, STORE_ID_BYTES, LogIdentity
from tidal.records import record

ARCHIVE_MANIFEST_NAME: Final = "manifest.json"
ARCHIVE_MANIFEST_FORMAT: Final = 2
ARCHIVE_MANIFEST_FORMAT_SINGLE: Final = 1  # where each file is of one segment
ARCHIVE_MANIFEST_BYTES_MAX: Final = 1 << 27  # of some 300,000 files

_FIELDS: Final = ("store_id", "region", "shard", "start_seq", "start_hash", "files")
_FILE_FIELDS: Final = (
    "base_seq", "last_seq", "size", "min_time", "max_time", "types", "final_hash", "header_hash"
)  # fmt: skip
_SEGMENTS: Final = "segments"  # of a file of several: the ends of all but the last
_END_FIELDS: Final = ("last_seq", "final_hash")
_TYPES_BYTES = 32
_I64 = 1 << 63


class SegmentEnd(NamedTuple):
    """Where a segment of the log ended."""

    last_seq: int
    final_hash: bytes


@record
class ArchivedFile:
    """A file of the archive, of one segment or more. ``size`` in bytes; times in ns, both ends included."""

    base_seq: int
    last_seq: int
    size: int
    min_time: int
    max_time: int
    types: TypeSet
    final_hash: bytes  # of the last segment
    header_hash: bytes  # stands for every byte of the file
    segments: tuple[SegmentEnd, ...] = ()  # those before the last

    @property
    def events(self) -> int:
        return self.last_seq - self.base_seq + 1

    @property
    def ends(self) -> Iterator[tuple[int, SegmentEnd]]:
        """Each segment of the file: the sequence that it begins at, and its end."""
        first = self.base_seq
        for end in (*self.segments, SegmentEnd(self.last_seq, self.final_hash)):
            yield first, end
            first = end.last_seq + 1


@record
class ArchiveManifest:
    """What an archive holds: the events from ``start_seq`` to ``last_seq``, all of them."""

    store_id: bytes
    start_seq: int = 1  # what is before was removed by retention, or never was here
    start_hash: bytes = NO_HASH  # the final hash of what came before
    files: tuple[ArchivedFile, ...] = ()
    region: int = 0
    shard: int = 0

    def __post_init__(self) -> None:
        LogIdentity(self.store_id, 0, self.region, self.shard)  # checks them
        if not 1 <= self.start_seq <= SEQ_MAX or (self.start_seq == 1 and self.start_hash != NO_HASH):
            raise ValueError(f"an archive that begins at {self.start_seq}, after {self.start_hash.hex()}")
        last = self.start_seq - 1
        for file in self.files:
            if file.base_seq != last + 1 or not file.base_seq <= file.last_seq <= SEQ_MAX or file.size < 1:
                raise ValueError(f"events {file.base_seq} to {file.last_seq} listed after event {last}")
            for end in file.segments:
                if not last < end.last_seq < file.last_seq:
                    raise ValueError(
                        f"a segment that ends at {end.last_seq} within {file.base_seq} to {file.last_seq}"
                    )
                last = end.last_seq
            last = file.last_seq

    @property
    def last_seq(self) -> int:
        """The last sequence that the archive holds, or held."""
        return self.files[-1].last_seq if self.files else self.start_seq - 1

    @property
    def head_hash(self) -> bytes:
        """The final hash of the last file: what the next segment goes on from."""
        return self.files[-1].final_hash if self.files else self.start_hash

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def file_of(self, seq: int) -> ArchivedFile | None:
        """Return the file that holds this sequence, or None."""
        place = bisect.bisect_right(self.files, seq, key=lambda file: file.base_seq) - 1
        return self.files[place] if place >= 0 and seq <= self.files[place].last_seq else None

    def file_with(self, base_seq: int, last_seq: int, final_hash: bytes) -> ArchivedFile | None:
        """Return the file that has the segment of exactly these events and this final hash, or None."""
        file = self.file_of(base_seq)
        sought = base_seq, SegmentEnd(last_seq, final_hash)
        return file if file is not None and sought in file.ends else None


def encode_archive_manifest(manifest: ArchiveManifest) -> bytes:
    """Return the bytes of a manifest; equal manifests give equal bytes."""
    return encode_document(
        {
            "format": _format_of(manifest.files),
            "store_id": manifest.store_id.hex(),
            "region": manifest.region,
            "shard": manifest.shard,
            "start_seq": manifest.start_seq,
            "start_hash": manifest.start_hash.hex(),
            "files": [_row(file) for file in manifest.files],
        }
    )


def _format_of(files: Sequence[ArchivedFile]) -> int:
    several = any(file.segments for file in files)
    return ARCHIVE_MANIFEST_FORMAT if several else ARCHIVE_MANIFEST_FORMAT_SINGLE


def _row(file: ArchivedFile) -> dict[str, Any]:
    row = _fields_of(file, _FILE_FIELDS)
    return (
        row | {_SEGMENTS: [_fields_of(end, _END_FIELDS) for end in file.segments]} if file.segments else row
    )


def _fields_of(item: object, fields: Sequence[str]) -> dict[str, Any]:
    values = ((field, getattr(item, field)) for field in fields)
    return {field: value.hex() if isinstance(value, bytes) else value for field, value in values}


def decode_archive_manifest(data: bytes) -> ArchiveManifest:
    """Return what encode_archive_manifest wrote; FormatError for any other bytes, or FormatTooNew."""
    body = decode_document(
        data, version=ARCHIVE_MANIFEST_FORMAT, fields=_FIELDS, bytes_max=ARCHIVE_MANIFEST_BYTES_MAX,
        oldest=ARCHIVE_MANIFEST_FORMAT_SINGLE,
    )  # fmt: skip
    if not isinstance(body["files"], list):
        raise FormatError("files is no list")
    files = tuple(map(_file, body["files"]))
    if body["format"] != _format_of(files):
        raise FormatError(f"format {body['format']} of files that are written as another")
    try:
        return ArchiveManifest(
            store_id=bytes_of(body, "store_id", STORE_ID_BYTES),
            start_seq=integer_of(body, "start_seq"),
            start_hash=bytes_of(body, "start_hash", HASH_BYTES),
            files=files,
            region=integer_of(body, "region"),
            shard=integer_of(body, "shard"),
        )
    except ValueError as error:
        raise FormatError(str(error)) from None


def _file(row: object) -> ArchivedFile:
    body = _checked(row, _FILE_FIELDS, "a file")
    base_seq, last_seq, size = (integer_of(body, field) for field in ("base_seq", "last_seq", "size"))
    min_time, max_time = (integer_of(body, field, -_I64, _I64 - 1) for field in ("min_time", "max_time"))
    types = bytes_of(body, "types", _TYPES_BYTES)
    final_hash, header_hash = (bytes_of(body, field, HASH_BYTES) for field in ("final_hash", "header_hash"))
    ends = body.get(_SEGMENTS, ())
    if _SEGMENTS in body and (not isinstance(ends, list) or not ends):
        raise FormatError(f"{_SEGMENTS} is no list of segments")
    segments = tuple(map(_end, ends))
    return ArchivedFile(
        base_seq, last_seq, size, min_time, max_time, types, final_hash, header_hash, segments
    )  # fmt: skip


def _end(row: object) -> SegmentEnd:
    body = _checked(row, _END_FIELDS, "a segment")
    return SegmentEnd(integer_of(body, "last_seq"), bytes_of(body, "final_hash", HASH_BYTES))


def _checked(row: object, fields: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(row, dict) or row.keys() - {_SEGMENTS} != set(fields):
        raise FormatError(f"{what} without exactly the fields {', '.join(fields)}")
    if _SEGMENTS in row and fields is not _FILE_FIELDS:
        raise FormatError(f"{what} that has {_SEGMENTS}")
    return row
