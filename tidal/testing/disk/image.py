"""What lies on a disk at one moment: files by path, and folders; nothing of it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ROOT = "/"


@dataclass(frozen=True, slots=True)
class Image:
    """The files (path -> bytes) and folders of a disk. Paths are absolute, without a trailing slash.

    >>> image = Image({"/a": b"1"})
    >>> image.key == Image({"/a": b"1"}).key, image.key == Image({"/a": b"2"}).key
    (True, False)
    """

    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    folders: frozenset[str] = frozenset((ROOT,))

    @property
    def key(self) -> int:
        """A hash of everything in it, to count the images that differ. Of this process only."""
        return hash((frozenset(self.files.items()), self.folders))


def parent_of(path: str) -> str:
    """Return the folder that a path is in.

    >>> parent_of("/a/b"), parent_of("/a")
    ('/a', '/')
    """
    return path.rpartition("/")[0] or ROOT
