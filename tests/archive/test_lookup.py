"""Whether the archive can stand in for a segment: only if every byte of it is good."""

from __future__ import annotations

import errno

import pytest
from archivekit import FailingFs

from tidal.archive import holds_segment, read_archive_manifest
from tidal.errors import StorageError


def test_a_segment_is_held_if_its_file_is_whole(store) -> None:
    fs, folder, identity = store.fs, store.paths.archive, store.identity
    store.fill([3, 4, 5])
    assert not holds_segment(fs, folder, identity, 1, 3, bytes(32))  # nothing is archived
    store.archive()
    manifest = read_archive_manifest(fs, folder, identity)
    assert manifest is not None
    file = manifest.files[1]
    key = (file.base_seq, file.last_seq, file.final_hash)
    assert key[:2] == (4, 7)
    assert holds_segment(fs, folder, identity, *key)
    assert not holds_segment(fs, folder, identity, 4, 6, file.final_hash)
    assert not holds_segment(fs, folder, identity, 4, 7, bytes(32))
    assert not holds_segment(fs, folder, identity, 8, 12, file.final_hash)
    with pytest.raises(StorageError):
        holds_segment(FailingFs(0, StorageError(errno.EIO, "bad")), folder, identity, *key)
    path = folder / store.files[1]
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert not holds_segment(fs, folder, identity, *key)
    path.write_bytes((folder / store.files[0]).read_bytes())
    assert not holds_segment(fs, folder, identity, *key)
    path.unlink()
    assert not holds_segment(fs, folder, identity, *key)
    path.write_bytes(good)
    assert holds_segment(fs, folder, identity, *key)
    (folder / "manifest.json").write_bytes(b"{}")
    assert not holds_segment(fs, folder, identity, *key)
