"""Every state that a power cut may leave: what was done to a disk, less what was never made durable.

What is assumed of a file system, and no more:

- Content written since the file's last sync may be there or not, by sectors of 512 bytes and in any
  order. The file may have any length that it had on the way, or end at a sector between two of them;
  what is inside that length and was not written reads as zeros.
- A truncation that was not synced may be undone, or half done.
- A name that was made, moved or removed since the last sync of its folder may be so, or as before; each
  for itself, in any combination. Moving a name within a folder is one step; between folders it is two.
- Syncing a file says nothing of its name, and syncing a folder says nothing of what is in the files.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tidal.testing.disk.image import ROOT, Image, parent_of
from tidal.testing.disk.journal import (
    Create,
    Lose,
    MakeDir,
    Mark,
    Op,
    Remove,
    Rename,
    Sync,
    SyncDir,
    Truncate,
    Write,
)

SECTOR_BYTES: Final = 512
_FOLDER: Final = -1  # stands where a name is a folder and not a file's


class CrashState(NamedTuple):
    """One state that a power cut may leave, and where it came from: the same three numbers name it again."""

    op: int  # operations of the journal that had been called
    number: int  # of the states that are possible there
    possible: int
    image: Image
    marks: dict[str, int]  # what the program had told by then: the last value of each mark

    @property
    def is_kill(self) -> bool:
        """Whether this is what the end of the process alone leaves: nothing that was done is missing."""
        return self.number == self.possible - 1


class _Content:
    """A file's content while operations are replayed: as written, and what may be there instead."""

    __slots__ = ("_cached", "current", "sectors", "sizes")

    def __init__(self, data: bytes = b"") -> None:
        self.current = bytearray(data)
        self.sizes: list[int] = []  # lengths that the file may have; none: it is durable
        self.sectors: dict[int, list[bytes]] = {}  # what each changed sector may hold
        self._cached: bytes | None = data

    @property
    def count(self) -> int:
        """How many contents are possible, counting some more than once."""
        return math.prod(map(len, self.sectors.values()), start=max(1, len(self.sizes)))

    def change(self, offset: int, data: bytes, size: int) -> None:
        """Write data at offset and set the length; zeros fill what lies between."""
        before = len(self.current)
        if not self.sizes:
            self.sizes.append(before)
        first = min(offset, before, size) // SECTOR_BYTES
        last = (max(before, size, 1) - 1) // SECTOR_BYTES
        for number in range(first, last + 1):
            self.sectors.setdefault(number, [self._sector(number)])
        del self.current[size:]
        self.current.extend(bytes(size - len(self.current)))
        self.current[offset : offset + len(data)] = data
        for number in range(first, last + 1):
            sector = self._sector(number)
            _make_last(self.sectors[number], sector)
        low, high = sorted((before, size))
        cuts = range((low // SECTOR_BYTES + 1) * SECTOR_BYTES, high, SECTOR_BYTES)
        for length in (*cuts, size):
            _make_last(self.sizes, length)
        self._cached = None

    def settle(self) -> None:
        """Make the content durable as it is."""
        self.sizes.clear()
        self.sectors.clear()

    def lose(self) -> None:
        """What is not durable will never be: zeros are left of it."""
        for number, held in self.sectors.items():
            at = number * SECTOR_BYTES
            self.current[at : at + SECTOR_BYTES] = held[0][: max(0, len(self.current) - at)]
        self._cached = None
        self.settle()

    def data(self) -> bytes:
        if self._cached is None:
            self._cached = bytes(self.current)
        return self._cached

    def pick(self, number: int) -> bytes:
        """Return one of the possible contents."""
        if number == self.count - 1:
            return self.data()
        number, at = divmod(number, len(self.sizes))
        size = self.sizes[at]
        content = self.current[:size]
        content.extend(bytes(size - len(content)))
        for sector, held in self.sectors.items():
            number, at = divmod(number, len(held))
            start = sector * SECTOR_BYTES
            if start < size:
                content[start : start + SECTOR_BYTES] = held[at][: size - start]
        return bytes(content)

    def _sector(self, number: int) -> bytes:
        at = number * SECTOR_BYTES
        return bytes(self.current[at : at + SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")


def _make_last(held: list[Any], newest: Any) -> None:
    """Put the newest at the end; the first stays, since it is what is durable."""
    if newest in held[1:]:
        del held[held.index(newest, 1)]
    held.append(newest)


class _Folder:
    """The names of a folder while operations are replayed: durable ones, and changes that may be lost."""

    __slots__ = ("changes", "names")

    def __init__(self) -> None:
        self.names: dict[str, int] = {}  # path -> node, those that are durable
        self.changes: list[dict[str, int | None]] = []  # each one all or nothing

    @property
    def count(self) -> int:
        return 1 << len(self.changes)

    def pick(self, number: int) -> dict[str, int]:
        """Return the names where those changes were made whose bit is set in the number."""
        names = dict(self.names)
        for bit, change in enumerate(self.changes):
            if number >> bit & 1:
                _apply(names, change)
        return names

    def settle(self) -> None:
        for change in self.changes:
            _apply(self.names, change)
        self.changes.clear()


def _apply(names: dict[str, int], change: dict[str, int | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Replay:
    """A disk on which operations are done again, one by one, to ask after each what a power cut may leave."""

    def __init__(self, initial: Image) -> None:
        self.marks: dict[str, int] = {}
        self._contents = {number: _Content(data) for number, data in enumerate(initial.files.values())}
        self._folders = {path: _Folder() for path in initial.folders}
        self._live = {name: number for number, name in enumerate(initial.files)}
        for name, node in [*self._live.items(), *((path, _FOLDER) for path in initial.folders - {ROOT})]:
            self._folders[parent_of(name)].names[name] = node

    def step(self, op: Op) -> None:
        """Do the next operation."""
        match op:
            case Write(node, offset, data):
                self._contents[node].change(offset, data, offset + len(data))
            case Truncate(node, size):
                self._contents[node].change(size, b"", size)
            case Sync(node):
                self._contents[node].settle()
            case Lose(node):
                self._contents[node].lose()
            case Create(path, node):
                self._contents[node] = _Content()
                self._name(path, node)
            case Rename(source, target):
                self._rename(source, target)
            case Remove(path):
                self._live.pop(path)
                self._folders[parent_of(path)].changes.append({path: None})
            case MakeDir(path):
                self._folders[path] = _Folder()
                self._folders[parent_of(path)].changes.append({path: _FOLDER})
            case SyncDir(path):
                self._folders[path].settle()
            case Mark(name, value):
                self.marks[name] = value

    def _name(self, path: str, node: int) -> None:
        self._live[path] = node
        self._folders[parent_of(path)].changes.append({path: node})

    def _rename(self, source: str, target: str) -> None:
        node = self._live.pop(source)
        here, there = parent_of(source), parent_of(target)
        if here == there:
            self._live[target] = node
            self._folders[here].changes.append({source: None, target: node})
        else:
            self._name(target, node)
            self._folders[here].changes.append({source: None})

    def possible(self) -> States:
        """Return the states that a power cut may leave now; to be used before the next step."""
        return States(self._folders, self._contents)


class States:
    """The images that are possible at one moment, by number; some are there more than once.

    The first is what was durable; the last has everything, as after a kill of the process. There may be
    more of them than len() could say.
    """

    def __init__(self, folders: dict[str, _Folder], contents: dict[int, _Content]) -> None:
        self._folders, self._contents = folders, contents
        self._open_folders = {path: folder for path, folder in folders.items() if folder.changes}
        self._open_contents = {node: content for node, content in contents.items() if content.sizes}
        self._counts = [folder.count for folder in self._open_folders.values()]
        self._counts += [content.count for content in self._open_contents.values()]
        self.total = math.prod(self._counts)

    def numbers(self, limit: int, rng: random.Random) -> Sequence[int]:
        """Return which states to look at: all, or ``limit`` of them, the extreme ones and random others.

        Extreme is where each file and folder is either all as it was, or all as it should be.
        """
        if self.total <= limit:
            return range(self.total)
        found = [0, self.total - 1]
        unit = 1
        for count in self._counts:
            last = (count - 1) * unit
            found += (last, self.total - 1 - last)
            unit *= count
        del found[limit:]
        found += (rng.randrange(self.total) for _ in range(limit - len(found)))
        return sorted(set(found))

    def __getitem__(self, number: int) -> Image:
        names = {path: folder.names for path, folder in self._folders.items()}
        for path, folder in self._open_folders.items():
            number, picked = divmod(number, folder.count)
            names[path] = folder.pick(picked)
        contents: dict[int, bytes] = {}
        for node, content in self._open_contents.items():
            number, picked = divmod(number, content.count)
            contents[node] = content.pick(picked)
        return self._image(names, contents)

    def _image(self, names: dict[str, dict[str, int]], contents: dict[int, bytes]) -> Image:
        files: dict[str, bytes] = {}
        folders = [ROOT]
        for path in folders:  # it grows on the way; what is in a folder that is lost is lost
            for name, node in names[path].items():
                if node == _FOLDER:
                    folders.append(name)
                else:
                    files[name] = contents[node] if node in contents else self._contents[node].data()
        return Image(files, frozenset(folders))


_NO_NEWS = (Sync, SyncDir, Lose)  # after these, only what was possible before is possible


def crash_states(
    initial: Image, journal: Sequence[Op], *, limit: int = 256, rng: random.Random, begin: int = 0
) -> Iterator[CrashState]:
    """Yield what a power cut may leave after each operation of a journal, from ``begin`` on.

    At each point all states are given while they are at most ``limit``; else the extreme ones, and random
    ones up to the limit. Equal images are given again where the marks differ, and also elsewhere: count
    ``image.key``.
    """
    replay = Replay(initial)
    for done in range(len(journal) + 1):
        if done:
            replay.step(journal[done - 1])
        if done < begin or (done > begin and isinstance(journal[done - 1], _NO_NEWS)):
            continue
        states = replay.possible()
        marks = dict(replay.marks)
        for number in states.numbers(limit, rng):
            yield CrashState(done, number, states.total, states[number], marks)
