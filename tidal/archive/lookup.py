"""Whether the archive can stand in for a segment of the log."""

from __future__ import annotations

import errno
from pathlib import Path

from tidal.archive.manifest import read_archive_manifest
from tidal.archive.reader import ArchiveFile
from tidal.durable import FileSystem
from tidal.errors import CorruptArchive, StorageError
from tidal.format.archive import archive_name, header_hash
from tidal.format.segment import LogIdentity


def holds_segment(
    fs: FileSystem, directory: Path, identity: LogIdentity, base_seq: int, last_seq: int, final_hash: bytes
) -> bool:
    """Return whether the archive in this folder has exactly the segment with these events, in a file of which
    every byte is good.

    False too where file or manifest are damaged or missing. Raises FormatTooNew, StorageError.
    """
    try:
        manifest = read_archive_manifest(fs, directory, identity)
        listed = manifest.file_with(base_seq, last_seq, final_hash) if manifest else None
        if listed is None:
            return False
        path = directory / archive_name(identity, listed.base_seq)
        with ArchiveFile(fs, path, from_device=True) as file:
            file.verify()
            return header_hash(file.header) == listed.header_hash
    except CorruptArchive:
        return False
    except StorageError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
