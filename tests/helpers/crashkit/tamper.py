"""What no crash does: bytes changed, files cut, lost, swapped, put back, or taken from another history.

Opening must refuse with an error of tidal's, or show everything. It must never show less and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from crashkit.bench import PATHS, Bench, abandon, open_on
from crashkit.oracle import history_start
from crashkit.patching import no_nonsense
from tidal.archive import ArchiveFile, verify_archive
from tidal.errors import TidalError
from tidal.format.manifest import MANIFEST_NAME
from tidal.format.segment import LogIdentity, parse_segment_name
from tidal.history import read_history
from tidal.testing.disk import SECTOR_BYTES, Image, MemoryDisk
from tidal.wal import read_manifest

_NOT_OURS = (str(PATHS.entities), str(PATHS.lock))  # SQLite's in earnest, and a file that is empty
_MANIFEST = str(PATHS.wal / MANIFEST_NAME)


class Tampered(NamedTuple):
    """A damaged image, and what was done to it."""

    what: str
    image: Image


def damages(case: Case, stride: int = 1) -> Iterator[Tampered]:
    """Yield the case's image with one damage each. ``stride``: a bit is flipped in every so manieth byte."""
    image, older, fork = case.image, case.older, case.fork
    files = {path: data for path, data in image.files.items() if path not in _NOT_OURS and data}

    def changed(what: str, changes: Mapping[str, bytes | None]) -> Tampered:
        left = {path: data for path, data in {**image.files, **changes}.items() if data is not None}
        return Tampered(what, Image(left, image.folders))

    segments = [path for path in sorted(files) if path.endswith(".seg")]
    for count in (1, 2, 3):
        if count <= len(segments):
            yield changed(f"the newest {count} segments removed", dict.fromkeys(segments[-count:]))
    for one, other in _pairs(list(files)):
        yield changed(f"{one} and {other} swapped", {one: files[other], other: files[one]})
    for path, data in files.items():
        yield changed(f"{path} removed", {path: None})
        yield changed(f"{path} zeroed in the middle", {path: _zeroed(data)})
        yield changed(f"{path} with bytes after its end", {path: data + b"more"})
        yield changed(f"{path} with zeros after its end", {path: data + bytes(SECTOR_BYTES)})
        for size in {0, len(data) // 2, len(data) - 1, *_frames(path, data)}:
            yield changed(f"{path} cut to {size} of {len(data)} bytes", {path: data[:size]})
        if older.files.get(path, data) != data:
            yield changed(f"{path} put back as it was", {path: older.files[path]})
        other = fork.files.get(path, data)
        if path.endswith(".arc") and other != data:
            yield changed(f"{path} of another history", {path: other})
        if path.endswith(".seg") and other != data:
            yield changed(f"{path} of another history", {path: other})
            for start, end in _between(_frames(path, data), len(data)):
                mixed = data[:start] + other[start:end] + data[end:]
                if len(mixed) == len(data) and mixed not in (data, other):
                    yield changed(f"bytes {start} to {end} of {path} of another history", {path: mixed})
    if not case.cut_off:  # else it is an end like any other
        late = {path: case.late_fork.files[path] for path in segments if path not in older.files}
        yield changed("the segments since the last opening of another history", late)
    for path in segments[:-1]:
        if path not in older.files:  # a crash may leave a manifest that does not list it yet
            changes = {_MANIFEST: older.files[_MANIFEST], path: None}
            yield changed(f"{path} removed, with a manifest from before it", changes)
    for path, data in files.items():
        for at in range(0, len(data), stride):
            flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            yield changed(f"bit {at % 8} of byte {at} of {path} flipped", {path: flipped})


def _pairs(paths: list[str]) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(paths):
        for other in paths[number + 1 :]:
            if one.rpartition("/")[0] == other.rpartition("/")[0]:
                yield one, other


def _between(places: list[int], end: int) -> Iterator[tuple[int, int]]:
    yield from zip(places, [*places[1:], end], strict=True)


def _zeroed(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def _frames(path: str, data: bytes) -> list[int]:
    """Where batches and the seal begin in a segment: cut there, what is left is good in itself."""
    found, at = [], data.find(b"Tdl", 1) if path.endswith(".seg") else -1
    while at > 0:
        found.append(at)
        at = data.find(b"Tdl", at + 1)
    return found


class Case(NamedTuple):
    """A store to be damaged, and what it must show unless it refuses.

    ``older`` is what the disk had before, ``fork`` the disk of the same store to which something else
    happened from its first event on, ``late_fork`` from the last opening on.
    """

    name: str
    bench: Bench
    image: Image
    older: Image
    fork: Image
    late_fork: Image
    at_least: int

    @property
    def cut_off(self) -> bool:
        return self.name.endswith("cut off")

    def must_show(self, tampered: Tampered) -> int:
        """How many events an open that does not refuse must show.

        Of a store that was cut off nothing on the disk tells how far its last segment went: only a batch
        behind the damage does. So more than one wrong bit in it may pass for an end that a crash left.
        """
        if not self.cut_off:
            return self.at_least
        active = max(path for path in self.image.files if path.endswith(".seg"))
        if tampered.image.files.get(active) == self.image.files[active] or tampered.what.startswith("bit "):
            return self.at_least
        return parse_segment_name(active.rpartition("/")[2])[2] - 1


def cases(name: str, workload: Callable[..., Bench]) -> Iterator[Case]:
    """The stores of a workload: closed; closed without a checkpoint; and cut off with all of it synced."""
    for ending in ("cut off", "released", "closed"):
        bench, older = _ended(workload(), ending)
        fork, _ = _ended(workload(story=1), ending)
        late_fork, _ = _ended(workload(), ending, story=1)
        # What was appended last is proven durable by nothing behind it: damage there looks like a torn end.
        at_least = bench.sent.ends[-2] if ending == "cut off" else len(bench.sent.events)
        forks = fork.disk.image(), late_fork.disk.image()
        yield Case(f"{name}, {ending}", bench, bench.disk.image(), older, *forks, at_least)


def _ended(bench: Bench, ending: str, story: int | None = None) -> tuple[Bench, Image]:
    bench.kill()
    bench.open()
    if story is not None:
        bench.story = story
    older = bench.disk.image()
    bench.signal()
    bench.ingest(70)
    bench.flush()
    for _ in range(4):  # batches in one segment that say how far those before them were durable
        bench.signal()
        bench.flush()
    if ending == "closed":
        bench.close()
    elif ending == "released":
        bench.release()
    else:
        bench.kill()
    return bench, older


def wrong(tampered: Tampered, case: Case) -> str | None:
    """Open a damaged store, and say what is wrong with what it shows; None if nothing is."""
    sent = case.bench.sent
    disk = MemoryDisk(tampered.image)
    try:
        db = open_on(disk, schema=case.bench.schema)
    except TidalError:
        return None
    except Exception as error:
        no_nonsense(error)
        return f"{tampered.what}: {type(error).__name__}: {error}"
    try:
        if not case.must_show(tampered) <= db.last_seq <= len(sent.events):
            return f"{tampered.what}: shows {db.last_seq} events of {len(sent.events)}"
        if db._ledger.state_digest() != sent.digest(db.last_seq):
            return f"{tampered.what}: shows another state"
        if not db.recovery.missing and (problem := _wrong_history(case, db.last_seq, disk, db)):
            return f"{tampered.what}: {problem}"
        return None
    except TidalError:
        return None
    except Exception as error:
        no_nonsense(error)
        return f"{tampered.what}: {type(error).__name__}: {error}"
    finally:
        abandon(db, disk)


def standing_alone(image: Image, identity: LogIdentity) -> Iterator[str | None]:
    """Turn round each bit of the log's manifest and of each archive file; yield what the file by itself, with
    nothing else to compare it with, does not tell.
    """
    for path, data in image.files.items():
        if not path.endswith(".arc") and path != _MANIFEST:
            continue
        want = [] if path == _MANIFEST else _events_alone(MemoryDisk(image), path)
        for at in range(len(data)):
            flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
            disk = MemoryDisk(Image({path: flipped}, image.folders))
            what = f"bit {at % 8} of byte {at} of {path} flipped"
            try:
                if path == _MANIFEST:
                    read_manifest(disk, PATHS.wal, identity)
                else:
                    verify_archive(disk, Path(path))
            except TidalError:
                yield None
            else:
                yield f"{what}: it is called good"
            try:
                yield None if not want or _events_alone(disk, path) == want else f"{what}: other events"
            except TidalError:
                yield None


def _events_alone(disk: MemoryDisk, path: str) -> list[list[int]]:
    with ArchiveFile(disk, Path(path)) as opened:
        return [[*batch.entity_id.tolist(), *batch.weight.tolist()] for _, batch in opened.events()]


def _wrong_history(case: Case, last: int, disk: MemoryDisk, db: object) -> str | None:
    identity = db._disk.identity  # type: ignore[attr-defined]
    position = history_start(disk, identity) - 1
    # To its end before it is looked at: a batch of another history is found out by the one behind it.
    events = [
        *read_history(disk, PATHS, identity=identity, after_seq=position, until_seq=max(last, position))
    ]
    for first, batch in events:
        want = [event.id for event in case.bench.sent.slice(first, first + len(batch) - 1)]
        if batch.entity_id.tolist() != want:
            return f"the history has other events from {first} on"
        position = first + len(batch) - 1
    return None if position >= last else f"the history ends at {position}"
