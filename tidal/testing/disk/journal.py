"""What a program did to a disk, in order: the operations that crash states are made of.

A node is a file's content, whatever names it has; nodes are numbered, those of the initial image first.
"""

from __future__ import annotations

from typing import NamedTuple


class Create(NamedTuple):
    """A new empty file got a name."""

    path: str
    node: int


class Write(NamedTuple):
    """Bytes were put at the end of a file, which is where ``offset`` is."""

    node: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file was cut, or grown with zeros."""

    node: int
    size: int


class Sync(NamedTuple):
    """A file's content became durable; its names did not."""

    node: int


class Lose(NamedTuple):
    """A sync failed: what had been written since the last one will never reach the disk."""

    node: int


class Rename(NamedTuple):
    """A name was moved, replacing what was there."""

    source: str
    target: str


class Remove(NamedTuple):
    """A name was taken away."""

    path: str


class MakeDir(NamedTuple):
    """A folder was made."""

    path: str


class SyncDir(NamedTuple):
    """The names in a folder became durable."""

    path: str


class Mark(NamedTuple):
    """The program told somebody something, such as the last sequence that it acknowledged."""

    name: str
    value: int


Op = Create | Write | Truncate | Sync | Lose | Rename | Remove | MakeDir | SyncDir | Mark
