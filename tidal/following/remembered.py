"""What a follower remembers of its leaders, in a file of its folder."""

from __future__ import annotations

import os
from dataclasses import replace

from tidal.durable import FileSystem, read_file, replace_file, same_bytes
from tidal.errors import CorruptStore, FormatError, FormatTooNew
from tidal.format.following import Following, decode_following, encode_following
from tidal.store import StorePaths


class Remembered:
    """The file that makes a store a follower; made where there is none. One thread writes."""

    def __init__(self, fs: FileSystem, paths: StorePaths, store_id: bytes, name: str) -> None:
        self._fs, self._path = fs, paths.following
        if not fs.exists(self._path):
            self._write(Following(store_id, 0, f"{name}/{os.urandom(16).hex()}"))
        try:
            self._known = decode_following(read_file(fs, self._path))
        except FormatTooNew as error:
            raise FormatTooNew(f"{self._path}: {error}") from None
        except FormatError as error:
            raise CorruptStore(self._path, 0, f"{error}; restore it from a backup, or begin anew") from error
        if self._known.store_id != store_id:
            raise CorruptStore(self._path, 0, f"it is of store {self._known.store_id.hex()}")

    @property
    def leader_epoch(self) -> int:
        """The newest epoch in which a leader was heard; 0: none yet."""
        return self._known.leader_epoch

    @property
    def claim(self) -> bytes:
        """What this node claims an epoch with."""
        return self._known.claim.encode()

    def raise_epoch(self, epoch: int) -> None:
        """Note durably that a leader of this epoch was heard."""
        if epoch > self._known.leader_epoch:
            self._write(replace(self._known, leader_epoch=epoch))

    def remove(self) -> None:
        """Make the store one by itself, durably."""
        self._fs.remove(self._path)
        self._fs.sync_dir(self._path.parent)

    def _write(self, following: Following) -> None:
        data = encode_following(following)
        replace_file(self._fs, self._path, [data], same_bytes(self._fs, data, CorruptStore))
        self._known = following
