"""The manifest of an archive: which files it has, and where the history that is kept begins.

A file is listed once it is durable and was read back, and leaves the list before it is removed. So a file
that is listed and not there is lost; one that retention removed is before ``start_seq``. What is listed is
one run of events without a gap. docs/format/archive.md has the fields.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any, Final

from tidal.errors import FormatError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.frame import HASH_BYTES, SEQ_MAX
from tidal.format.payload import TypeSet
from tidal.format.segment import NO_HASH, STORE_ID_BYTES, LogIdentity
from tidal.records import record

ARCHIVE_MANIFEST_NAME: Final = "manifest.json"
ARCHIVE_MANIFEST_FORMAT: Final = 1
ARCHIVE_MANIFEST_BYTES_MAX: Final = 1 << 27  # of some 300,000 files

_FIELDS: Final = ("store_id", "region", "shard", "start_seq", "start_hash", "files")
_FILE_FIELDS: Final = (
    "base_seq", "last_seq", "size", "min_time", "max_time", "types", "final_hash", "header_hash"
)  # fmt: skip
_TYPES_BYTES = 32
_I64 = 1 << 63


@record
class ArchivedFile:
    """A file of the archive, of one segment. ``size`` in bytes; times in ns, both ends included."""

    base_seq: int
    last_seq: int
    size: int
    min_time: int
    max_time: int
    types: TypeSet
    final_hash: bytes  # of the segment
    header_hash: bytes  # stands for every byte of the file

    @property
    def events(self) -> int:
        return self.last_seq - self.base_seq + 1


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
            last = file.last_seq

    @property
    def last_seq(self) -> int:
        """The last sequence that the archive holds, or held."""
        return self.files[-1].last_seq if self.files else self.start_seq - 1

    @property
    def head_hash(self) -> bytes:
        """The final hash of the last file's segment: what the next one goes on from."""
        return self.files[-1].final_hash if self.files else self.start_hash

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def file_of(self, seq: int) -> ArchivedFile | None:
        """Return the file that holds this sequence, or None."""
        place = bisect.bisect_right(self.files, seq, key=lambda file: file.base_seq) - 1
        return self.files[place] if place >= 0 and seq <= self.files[place].last_seq else None

    def file_like(self, base_seq: int, last_seq: int, final_hash: bytes) -> ArchivedFile | None:
        """Return the file of exactly the segment with these events and this final hash, or None."""
        file = self.file_of(base_seq)
        alike = file and (file.base_seq, file.last_seq, file.final_hash) == (base_seq, last_seq, final_hash)
        return file if alike else None


def encode_archive_manifest(manifest: ArchiveManifest) -> bytes:
    """Return the bytes of a manifest; equal manifests give equal bytes."""
    return encode_document(
        {
            "format": ARCHIVE_MANIFEST_FORMAT,
            "store_id": manifest.store_id.hex(),
            "region": manifest.region,
            "shard": manifest.shard,
            "start_seq": manifest.start_seq,
            "start_hash": manifest.start_hash.hex(),
            "files": [_row(file) for file in manifest.files],
        }
    )


def _row(file: ArchivedFile) -> dict[str, Any]:
    values = ((field, getattr(file, field)) for field in _FILE_FIELDS)
    return {field: value.hex() if isinstance(value, bytes) else value for field, value in values}


def decode_archive_manifest(data: bytes) -> ArchiveManifest:
    """Return what encode_archive_manifest wrote; FormatError for any other bytes, or FormatTooNew."""
    body = decode_document(
        data, version=ARCHIVE_MANIFEST_FORMAT, fields=_FIELDS, bytes_max=ARCHIVE_MANIFEST_BYTES_MAX
    )
    if not isinstance(body["files"], list):
        raise FormatError("files is no list")
    try:
        return ArchiveManifest(
            store_id=bytes_of(body, "store_id", STORE_ID_BYTES),
            start_seq=integer_of(body, "start_seq"),
            start_hash=bytes_of(body, "start_hash", HASH_BYTES),
            files=_files(body["files"]),
            region=integer_of(body, "region"),
            shard=integer_of(body, "shard"),
        )
    except ValueError as error:
        raise FormatError(str(error)) from None


def _files(rows: Sequence[object]) -> tuple[ArchivedFile, ...]:
    files = []
    for row in rows:
        if not isinstance(row, dict) or row.keys() != set(_FILE_FIELDS):
            raise FormatError(f"a file without exactly the fields {', '.join(_FILE_FIELDS)}")
        base_seq, last_seq, size = (integer_of(row, field) for field in ("base_seq", "last_seq", "size"))
        min_time, max_time = (integer_of(row, field, -_I64, _I64 - 1) for field in ("min_time", "max_time"))
        types = bytes_of(row, "types", _TYPES_BYTES)
        hashes = (bytes_of(row, field, HASH_BYTES) for field in ("final_hash", "header_hash"))
        files.append(ArchivedFile(base_seq, last_seq, size, min_time, max_time, types, *hashes))
    return tuple(files)
