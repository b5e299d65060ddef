"""What the real scan says of segments that a test has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bytekit.segments import IDENTITY, Made
from tidal.errors import CorruptLog, MissingSegment
from tidal.format.manifest import ListedSegment, Manifest
from tidal.testing.disk import Image, MemoryDisk
from tidal.wal import scan_log

FOLDER: Final = Path("/wal")


class Verdict(NamedTuple):
    """``kind`` is whole, torn, corrupt or missing; ``last_seq`` is of what was accepted."""

    kind: str
    last_seq: int = 0
    accepted: tuple[tuple[str, int], ...] = ()  # (segment, bytes of it that are good)
    offset: int = 0  # of the damage in its file


def disk_of(files: Mapping[str, bytes], folder: Path = FOLDER) -> MemoryDisk:
    """Return a disk with these files in one folder."""
    return MemoryDisk(
        Image({str(folder / name): data for name, data in files.items()}, frozenset({"/", str(folder)}))
    )


def files_of(chain: Sequence[Made]) -> dict[str, bytes]:
    return {made.name: made.data for made in chain}


def manifest_of(chain: Sequence[Made], *, clean: bool) -> Manifest:
    """Return the manifest of a log of these segments; one that was not closed does not list the last."""
    listed = chain if clean else chain[:-1]
    segments = (
        ListedSegment(it.info.base_seq, it.info.last_seq, len(it.data), it.info.final_hash) for it in listed
    )
    log = chain[0].info.header.log
    return Manifest(log.store_id, log.epoch, clean, segments=tuple(segments))


def scan_verdict(files: Mapping[str, bytes], manifest: Manifest | None = None) -> Verdict:
    """Return what scan_log says of a log of these files."""
    try:
        scan = scan_log(disk_of(files), FOLDER, IDENTITY, manifest=manifest)
    except CorruptLog as error:
        return Verdict("corrupt", offset=error.offset)
    except MissingSegment:
        return Verdict("missing")
    accepted = tuple((info.path.name, info.size) for info in scan.segments)
    if scan.torn is not None:
        return Verdict("torn", scan.last_seq, accepted, scan.torn.offset)
    return Verdict("whole", scan.last_seq, accepted)


def misread(verdict: Verdict, files: Mapping[str, bytes], original: Mapping[str, bytes]) -> bool:
    """Return whether something was accepted that is not, byte for byte, what was written."""
    return any(files[name][:size] != original[name][:size] for name, size in verdict.accepted)
