"""Making the end of the log fit to go on from: keep what is good, put aside what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blake3

from tidal.durable import Bytes, FileSystem, replace_file, set_aside
from tidal.errors import CorruptLog
from tidal.format.segment import SEAL
from tidal.wal.scan import LogScan
from tidal.wal.segments import SegmentInfo, check_header, read_segment, walk_to_end
from tidal.wal.tail import TornTail


def repair_tail(fs: FileSystem, scan: LogScan, quarantine_dir: Path, *, seal: bool = True) -> LogScan:
    """Return the scan of the log as it is now: durable to its last event, ending in a seal.

    ``seal=False``: without a seal, if it had none, so that the segment can grow as the one that it is a copy
    of does.

    To be run before a writer starts, whenever the last close was not clean. The bytes of a torn tail
    are copied to ``quarantine_dir`` and cut off; damaged segments that the archive has are moved there, and
    copies of segments, whose names the log may come to need. The last segment is then written anew, with a
    seal, and takes the old one's name; also if it was whole, unless the manifest lists it. Syncing the old
    file would prove nothing: a sync that failed before may have marked its pages clean, so that they are read
    well today and are gone after the next power cut. A crash at any point leaves the log as it was, or
    repaired.
    """
    aside = (*scan.copies, *(it.path for it in scan.replaced if it.path is not None))
    kept = [set_aside(fs, path, quarantine_dir) for path in aside]
    replaced = tuple(it._replace(path=None) for it in scan.replaced)
    if scan.torn is not None:
        kept.append(_quarantine(fs, scan.torn, quarantine_dir))
    segments = scan.segments
    if scan.torn is not None and (not segments or scan.torn.path != segments[-1].path):
        _remove(fs, scan.torn.path)  # its header was torn: it never held a batch
    elif not scan.proven and not segments[-1].batches:
        _remove(fs, segments[-1].path)
        segments = segments[:-1]
    elif not scan.proven:
        segments = (*segments[:-1], _rewrite(fs, segments[-1], seal or segments[-1].sealed))
    return replace(
        scan,
        segments=segments,
        proven=True,
        torn=None,
        replaced=replaced,
        copies=(),
        quarantined=tuple(kept),
    )


def _quarantine(fs: FileSystem, torn: TornTail, quarantine_dir: Path) -> Path:
    removed = read_segment(fs, torn.path)[torn.offset :]
    return keep_bytes(fs, quarantine_dir, torn.path.name, torn.offset, removed)


def keep_bytes(fs: FileSystem, quarantine_dir: Path, name: str, offset: int, removed: Bytes) -> Path:
    """Return where bytes are kept, durably, that are to be cut off a file of this name."""
    digest = blake3.blake3(removed).hexdigest()[:16]
    fs.make_dir(quarantine_dir)
    fs.sync_dir(quarantine_dir.parent)
    # Named by content, so that repairing again after a crash makes no second copy and loses no first one.
    path = quarantine_dir / f"{name}.{offset}.{digest}"
    replace_file(fs, path, [removed])
    return path


def _remove(fs: FileSystem, path: Path) -> None:
    fs.remove(path)
    fs.sync_dir(path.parent)


def _rewrite(fs: FileSystem, info: SegmentInfo, seal: bool) -> SegmentInfo:
    good = info.size - SEAL.size if info.sealed else info.size
    parts: list[Bytes] = [read_segment(fs, info.path)[:good]]
    if seal:
        parts.append(info.seal().encode(info.header.identity, good))
    rewritten = replace(info, size=sum(map(len, parts)), sealed=seal)

    def verify(path: Path) -> None:
        written = read_segment(fs, path, from_device=True)
        header = replace(check_header(info.path, written), path=path)
        if replace(walk_to_end(header, written).info, path=info.path) != rewritten:
            raise CorruptLog(path, 0, f"the copy of {info.path.name} is not what was written")

    replace_file(fs, info.path, parts, verify)
    return rewritten
