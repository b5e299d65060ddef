"""What a follower remembers of its leaders, in a file of its folder."""

from __future__ import annotations

import os
from dataclasses import replace

from tidal.durable import FileSystem
from tidal.format.following import Following
from tidal.store import StorePaths, load_following, save_following


class Remembered:
    """The file that makes a store a follower; made where there is none. One thread writes."""

    def __init__(self, fs: FileSystem, paths: StorePaths, store_id: bytes, name: str) -> None:
        self._fs, self._paths, self._path = fs, paths, paths.following
        if not fs.exists(self._path):
            # Where it led, that epoch is known. What it was claimed with may be in a copy of the folder, too.
            led = load_following(fs, paths.promoted, store_id) if fs.exists(paths.promoted) else None
            epoch = 0 if led is None else led.leader_epoch
            self._write(Following(store_id, epoch, f"{name}/{os.urandom(16).hex()}"))
        self._known = load_following(fs, self._path, store_id)

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

    def promote(self, epoch: int) -> None:
        """Make the store one by itself, durably, which has claimed this epoch."""
        self.raise_epoch(epoch)
        self._fs.rename(self._path, self._paths.promoted)
        self._fs.sync_dir(self._path.parent)

    def _write(self, following: Following) -> None:
        save_following(self._fs, self._paths, following)
        self._known = following
