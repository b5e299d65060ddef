"""The manifest file of a log: read, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from tidal.durable import FileSystem, read_file, replace_file, same_bytes
from tidal.errors import CorruptLog, FormatError, FormatTooNew
from tidal.format.manifest import MANIFEST_NAME, Manifest, decode_manifest, encode_manifest
from tidal.format.segment import LogIdentity


def read_manifest(fs: FileSystem, directory: Path, identity: LogIdentity) -> Manifest:
    """Return the manifest of the log in this folder.

    CorruptLog if it is missing, damaged, or of another log: what the log should hold is not known then.
    """
    path = directory / MANIFEST_NAME
    if not fs.exists(path):
        raise CorruptLog(path, 0, f"missing; {_REMEDY}")
    try:
        manifest = decode_manifest(read_file(fs, path))
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    except FormatError as error:
        raise CorruptLog(path, 0, f"not a good manifest: {error}; {_REMEDY}") from error
    if (manifest.store_id, manifest.region, manifest.shard) != (
        identity.store_id,
        identity.region,
        identity.shard,
    ):
        raise CorruptLog(path, 0, f"the manifest is of store {manifest.store_id.hex()}; {_REMEDY}")
    return manifest


def write_manifest(fs: FileSystem, directory: Path, manifest: Manifest) -> None:
    """Make this the manifest of the log, durably; a crash leaves the old one or the new one."""
    data = encode_manifest(manifest)
    replace_file(fs, directory / MANIFEST_NAME, [data], same_bytes(fs, data, CorruptLog))


_REMEDY = "restore it from a backup, or save the events into a new store with: tidal salvage SOURCE TARGET"
