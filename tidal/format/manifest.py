"""The manifest of a log: which sealed segments it has, where it begins, and whether it was closed.

It says what the log holds *at least*: a segment is listed once it is sealed and durable, and leaves the
list before its file is removed. So a segment that is listed and not there is lost, never an unfinished write;
and ``clean`` says that there is nothing beside what is listed. docs/format/manifest.md has the fields.
"""

from __future__ import annotations

from typing import Final

from tidal.errors import FormatError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.frame import HASH_BYTES, SEQ_MAX
from tidal.format.segment import NO_HASH, STORE_ID_BYTES, LogIdentity
from tidal.records import record

MANIFEST_NAME: Final = "manifest.json"
MANIFEST_FORMAT: Final = 1
MANIFEST_BYTES_MAX: Final = 1 << 26  # of some 300,000 segments: 5 TiB of log

_FIELDS: Final = ("store_id", "region", "shard", "epoch", "clean", "start_seq", "start_hash", "segments")
_SEGMENT_FIELDS: Final = ("base_seq", "last_seq", "size", "final_hash")


@record
class ListedSegment:
    """A sealed segment as the manifest knows it; ``size`` in bytes."""

    base_seq: int
    last_seq: int
    size: int
    final_hash: bytes


@record
class Manifest:
    """What a log holds at least. ``epoch`` is the newest that a writer was opened with."""

    store_id: bytes
    epoch: int
    clean: bool  # closed: there is nothing beside the listed segments
    start_seq: int = 1  # where the live log begins
    start_hash: bytes = NO_HASH  # the final hash of what came before
    segments: tuple[ListedSegment, ...] = ()
    region: int = 0
    shard: int = 0

    def __post_init__(self) -> None:
        _ = self.log  # checks its numbers
        if not 1 <= self.start_seq <= SEQ_MAX or (self.start_seq == 1 and self.start_hash != NO_HASH):
            raise ValueError(f"a log that begins at {self.start_seq}, after {self.start_hash.hex()}")
        last = self.start_seq - 1
        for segment in self.segments:
            if not last < segment.base_seq <= segment.last_seq <= SEQ_MAX or segment.size < 1:
                raise ValueError(f"events {segment.base_seq} to {segment.last_seq} listed after event {last}")
            last = segment.last_seq

    @property
    def log(self) -> LogIdentity:
        """Whose log it is, in the newest epoch."""
        return LogIdentity(self.store_id, self.epoch, self.region, self.shard)

    @property
    def last_seq(self) -> int:
        """The last sequence that a listed segment holds."""
        return self.segments[-1].last_seq if self.segments else self.start_seq - 1

    @property
    def head_hash(self) -> bytes:
        """The final hash of the last listed segment."""
        return self.segments[-1].final_hash if self.segments else self.start_hash


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest; equal manifests give equal bytes."""
    return encode_document(
        {
            "format": MANIFEST_FORMAT,
            "store_id": manifest.store_id.hex(),
            "region": manifest.region,
            "shard": manifest.shard,
            "epoch": manifest.epoch,
            "clean": manifest.clean,
            "start_seq": manifest.start_seq,
            "start_hash": manifest.start_hash.hex(),
            "segments": [
                {
                    "base_seq": segment.base_seq,
                    "last_seq": segment.last_seq,
                    "size": segment.size,
                    "final_hash": segment.final_hash.hex(),
                }
                for segment in manifest.segments
            ],
        }
    )


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest that encode_manifest wrote; FormatError for any other bytes, or FormatTooNew."""
    body = decode_document(data, version=MANIFEST_FORMAT, fields=_FIELDS, bytes_max=MANIFEST_BYTES_MAX)
    if type(body["clean"]) is not bool or not isinstance(body["segments"], list):
        raise FormatError("clean is not true or false, or segments no list")
    try:
        return Manifest(
            store_id=bytes_of(body, "store_id", STORE_ID_BYTES),
            epoch=integer_of(body, "epoch"),
            clean=body["clean"],
            start_seq=integer_of(body, "start_seq"),
            start_hash=bytes_of(body, "start_hash", HASH_BYTES),
            segments=tuple(map(_segment, body["segments"])),
            region=integer_of(body, "region"),
            shard=integer_of(body, "shard"),
        )
    except ValueError as error:
        raise FormatError(str(error)) from None


def _segment(row: object) -> ListedSegment:
    if not isinstance(row, dict) or row.keys() != set(_SEGMENT_FIELDS):
        raise FormatError(f"a segment without exactly the fields {', '.join(_SEGMENT_FIELDS)}")
    base_seq, last_seq, size = (integer_of(row, field) for field in ("base_seq", "last_seq", "size"))
    return ListedSegment(base_seq, last_seq, size, bytes_of(row, "final_hash", HASH_BYTES))
