"""The manifest file of an archive: read, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from tidal.durable import FileSystem, read_file, replace_file, same_bytes
from tidal.errors import CorruptArchive, FormatError, FormatTooNew
from tidal.format.archive_manifest import (
    ARCHIVE_MANIFEST_NAME,
    ArchiveManifest,
    decode_archive_manifest,
    encode_archive_manifest,
)
from tidal.format.segment import LogIdentity

_REMEDY = "restore it from a backup"


def read_archive_manifest(
    fs: FileSystem, directory: Path, identity: LogIdentity | None
) -> ArchiveManifest | None:
    """Return the manifest of the archive in this folder, of any store without an identity; None if nothing
    was archived yet.

    CorruptArchive if it is damaged or of another store, FormatTooNew, StorageError.
    """
    path = directory / ARCHIVE_MANIFEST_NAME
    if not fs.exists(path):
        return None
    try:
        manifest = decode_archive_manifest(read_file(fs, path))
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    except FormatError as error:
        raise CorruptArchive(path, 0, f"not a good manifest: {error}; {_REMEDY}") from error
    if identity is not None and (manifest.store_id, manifest.region, manifest.shard) != (
        identity.store_id, identity.region, identity.shard,
    ):  # fmt: skip
        raise CorruptArchive(path, 0, f"the manifest is of store {manifest.store_id.hex()}; {_REMEDY}")
    return manifest


def write_archive_manifest(fs: FileSystem, directory: Path, manifest: ArchiveManifest) -> None:
    """Make this the manifest of the archive, durably; a crash leaves the old one or the new one."""
    data = encode_archive_manifest(manifest)
    replace_file(fs, directory / ARCHIVE_MANIFEST_NAME, [data], same_bytes(fs, data, CorruptArchive))
