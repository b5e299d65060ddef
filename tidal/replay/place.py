"""Where files lie, in a form that a task in another process or machine can be given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import InvalidOption
from tidal.opening.arguments import checked_folder
from tidal.records import record
from tidal.replay.objects import open_objects

_ROOT: Final = Path("/")


@record
class Place:
    """A folder of this machine, or one in an object store, which is named by URL or is an obstore store."""

    folder: Path
    url: str | None = None
    store: Any = None

    @property
    def is_local(self) -> bool:
        return self.url is None and self.store is None

    def open(self) -> FileSystem:
        """Return what reaches the files. Raises MissingExtra, InvalidOption."""
        if self.is_local:
            return OsFileSystem(any_owner=True)  # what is only read may belong to anybody
        return open_objects(self.url, self.store)

    def __str__(self) -> str:
        return self.url or (str(self.folder) if self.is_local else repr(self.store))


def place_of(name: str, given: object) -> Place:
    """Return the place that an argument means: a path, a URL such as ``s3://bucket/folder``, or a store of
    obstore. InvalidOption for anything else.
    """
    if type(given).__module__.partition(".")[0] == "obstore":
        return Place(_ROOT, store=given)
    if isinstance(given, str) and "://" in given:
        return Place(_ROOT, url=given)
    if isinstance(given, str | os.PathLike):
        return Place(checked_folder(name, given))
    raise InvalidOption(f"{name}={given!r}: give a path, or a URL of an object store")
