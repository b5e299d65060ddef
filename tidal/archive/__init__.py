"""The archive: sealed segments of the log, encoded anew to be small, and kept for replay and export."""

from tidal.archive.lookup import holds_segment
from tidal.archive.manifest import read_archive_manifest, write_archive_manifest
from tidal.archive.reader import ArchiveFile, archive_schema, read_archive, verify_archive
from tidal.archive.writer import archive_segments
from tidal.format.archive_manifest import ArchivedFile, ArchiveManifest

__all__ = [
    "ArchiveFile",
    "ArchiveManifest",
    "ArchivedFile",
    "archive_schema",
    "archive_segments",
    "holds_segment",
    "read_archive",
    "read_archive_manifest",
    "verify_archive",
    "write_archive_manifest",
]
