"""Faults of disks, some sectors at a time: lost, doubled, swapped, stale, or meant for another place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from bytekit.scanning import files_of, manifest_of, misread, scan_verdict
from bytekit.segments import IDENTITY, make_chain, sized_batch
from tidal.format.manifest import Manifest
from tidal.format.segment import SEGMENT_HEADER, LogIdentity

SIZES: Final = (512, 4096)
OTHER_STORE: Final = LogIdentity(bytes(range(16, 32)), epoch=1)


class Disk(NamedTuple):
    """A log, and what else a disk may hold where its files are: an older log, and that of another store."""

    files: dict[str, bytes]
    stale: dict[str, bytes]
    foreign: dict[str, bytes]
    manifest: Manifest
    last: str  # the newest segment


class Fault(NamedTuple):
    """What was done to which sectors; ``files`` is the log after it."""

    kind: str
    name: str  # of the file
    offset: int
    size: int
    files: dict[str, bytes]


def make_disk(rng: random.Random, *, closed: bool) -> Disk:
    """Return three segments of some 20 KiB, whose frames lie the same way in the stale and the foreign ones.

    Frames begin where sectors do, so that a whole sector may hold whole frames of the wrong place. The
    manifest of a closed log lists all; of another, the newest segment may be unfinished.
    """
    first = SIZES[0] - SEGMENT_HEADER.size
    sizes = [[first, *(rng.choice((1, 2, 3)) * SIZES[0] for _ in range(20))] for _ in range(3)]
    logs = []
    for log in (IDENTITY, LogIdentity(IDENTITY.store_id, epoch=0), OTHER_STORE):
        numbers = np.random.default_rng(rng.getrandbits(32))
        batches = [[sized_batch(numbers, size) for size in group] for group in sizes]
        logs.append(make_chain(batches, log=log, sealed=closed))
    files = files_of(logs[0])
    stale, foreign = (dict(zip(files, (made.data for made in chain), strict=True)) for chain in logs[1:])
    return Disk(files, stale, foreign, manifest_of(logs[0], clean=closed), max(files))


def make_fault(rng: random.Random, disk: Disk) -> Fault:
    """Return the log with one fault in it that changed at least a byte."""
    while True:
        kind = rng.choice(tuple(KINDS))
        size = rng.choice(SIZES) * rng.choice((1, 1, 1, 2, 3, 8))
        name = rng.choice(list(disk.files))
        whole = disk.files[name]
        block = min(size, SIZES[1])
        at = rng.randrange(len(whole) // block + 1) * block
        files = dict(disk.files)
        files[name] = KINDS[kind](rng, disk, name, at, size)
        if files[name] != whole:
            return Fault(kind, name, at, size, files)


def judge(fault: Fault, disk: Disk) -> tuple[str, str | None]:
    """Return what the real scan says of a fault, and what is wrong with that, or None.

    Every fault of a finished segment must be corruption, or a missing segment if it became a copy of another.
    In the newest one of a log that was not closed, it may also look like an unfinished write (``torn``), or
    as if the last batches had not been written (``short``).
    """
    verdict = scan_verdict(fault.files, disk.manifest)
    where = f"{fault.kind} of {fault.size} bytes at {fault.offset} of {fault.name}"
    if misread(verdict, fault.files, disk.files):
        return "misread", f"{where}: something else was read than was written"
    said = "short" if verdict.kind == "whole" else verdict.kind
    if said not in ("corrupt", "missing") and (disk.manifest.clean or fault.name != disk.last):
        return said, f"{where}: {verdict} of a finished segment"
    return said, None


def _put(data: bytes, at: int, new: bytes) -> bytes:
    """Return data with these bytes at that place; its length stays."""
    return data[:at] + new[: max(0, len(data) - at)] + data[at + len(new) :]


def _zeroed(_: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    return _put(disk.files[name], at, bytes(size))


def _noise(rng: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    return _put(disk.files[name], at, rng.randbytes(size))


def _doubled(rng: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    """A sector was written to its own place, and to this one."""
    source = _block(rng, disk.files[name], size)
    return _put(disk.files[name], at, source)


def _swapped(rng: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    data = disk.files[name]
    other = rng.randrange(len(data) // size + 1) * size
    mine, theirs = data[at : at + size], data[other : other + size]
    if len(mine) != len(theirs):
        return data
    return _put(_put(data, at, theirs), other, mine)


def _stale(_: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    """What lay at this very place in an earlier life of the log."""
    return _put(disk.files[name], at, disk.stale[name][at : at + size])


def _foreign(_: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    """What lies at this very place in the log of another store."""
    return _put(disk.files[name], at, disk.foreign[name][at : at + size])


def _misdirected(rng: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    """What belongs into another segment of this log, at the same place or at another."""
    source = disk.files[rng.choice([other for other in disk.files if other != name])]
    return _put(
        disk.files[name], at, source[at : at + size] if rng.random() < 0.5 else _block(rng, source, size)
    )


def _shifted(_: random.Random, disk: Disk, name: str, at: int, size: int) -> bytes:
    """Everything from here on one sector too late."""
    data = disk.files[name]
    return (data[:at] + bytes(size) + data[at:])[: len(data)]


def _block(rng: random.Random, data: bytes, size: int) -> bytes:
    at = rng.randrange(len(data) // size + 1) * size
    return data[at : at + size]


KINDS: Final[dict[str, Callable[[random.Random, Disk, str, int, int], bytes]]] = {
    "zeroed": _zeroed,
    "noise": _noise,
    "doubled": _doubled,
    "swapped": _swapped,
    "stale": _stale,
    "of another store": _foreign,
    "misdirected": _misdirected,
    "shifted": _shifted,
}
