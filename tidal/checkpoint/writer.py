"""Write checkpoints: complete and verified before they have their name, and never the only one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tidal.checkpoint.reader import list_checkpoints, read_header, verify_checkpoint
from tidal.durable import FileSystem, replace_file
from tidal.errors import CorruptCheckpoint, CorruptionError, FormatTooNew
from tidal.format.snapshot import Section, checkpoint_name, encode_snapshot

_BESIDE_BYTES_MIN: Final = 1 << 22  # below it, a thread costs more than it saves
CHECKPOINTS_KEPT: Final = 2  # the log goes back to the older one, so one of them may rot


def write_checkpoint(
    fs: FileSystem,
    directory: Path,
    *,
    seq: int,
    store_id: bytes,
    epoch: int,
    log_hash: bytes,
    meta: Mapping[str, Any],
    sections: Mapping[str, Section],
    compress: Collection[str] = (),
) -> Path:
    """Return the path of a new checkpoint at ``seq`` that is durable and was read back and verified.

    ``log_hash`` is the log's head hash (32 bytes) at ``seq``, ``meta`` becomes JSON, ``compress`` names the
    sections to store as zstd. The arrays must not change during the call: a change is found on reading
    back, and raises CorruptCheckpoint. The same arguments always write the same bytes. Older checkpoints
    stay: call remove_older next, which also tells how much of the log may go.

    Raises ValueError for what the format cannot hold, StorageError (NoSpace) from the disk; no file of
    this call is left then, and older checkpoints are untouched.
    """
    header, parts = encode_snapshot(
        seq=seq,
        store_id=store_id,
        epoch=epoch,
        log_hash=log_hash,
        meta=meta,
        sections=sections,
        compress=compress,
    )
    path = directory / checkpoint_name(seq)

    def verify(written: Path) -> None:
        if verify_checkpoint(fs, written) != header:
            raise CorruptCheckpoint(written, 0, "what was read back is not the checkpoint that was written")

    replace_file(fs, path, parts, verify)
    return path


def remove_older(
    fs: FileSystem, directory: Path, store_id: bytes, *, verified: Collection[Path] = ()
) -> int | None:
    """Keep the two newest checkpoints that verify, remove older ones; return the older kept one's sequence.

    The log is needed from the sequence after that one; None (fewer than two verify): all of it is. To be
    called when the newest one's name is durable, as it is once write_checkpoint returns. ``verified`` names
    files that were verified just now and need not be read again; others are read from the device, since
    the log is given up on their word. What has no intact header of this store is never removed.
    """
    good: list[int] = []
    superseded: list[Path] = []
    for seq, path in list_checkpoints(fs, directory):
        if len(good) < CHECKPOINTS_KEPT:
            if path in verified or _is_ours(fs, path, store_id, whole=True):
                good.append(seq)
        elif _is_ours(fs, path, store_id, whole=False):
            superseded.append(path)
    for path in reversed(superseded):  # oldest first: a crash here leaves no gap between the kept ones
        fs.remove(path)
    if superseded:
        fs.sync_dir(directory)
    return good[-1] if len(good) == CHECKPOINTS_KEPT else None


@contextlib.contextmanager
def older_verified(fs: FileSystem, directory: Path, store_id: bytes, size: int) -> Iterator[list[Path]]:
    """Read the newest checkpoint from the device in a thread, while the next one is made in this block.

    After it, the list has its path where it is good, for ``verified`` of remove_older, which reads it itself
    where it is not. ``size``: about the bytes of a checkpoint; for a small one there is no thread.
    """
    good: list[Path] = []
    if size < _BESIDE_BYTES_MIN:
        yield good
        return

    def verify() -> None:
        with contextlib.suppress(Exception):  # remove_older meets what it is, and says so
            good.extend(
                path
                for _, path in list_checkpoints(fs, directory)[:1]
                if _is_ours(fs, path, store_id, whole=True)
            )

    thread = threading.Thread(target=verify, name="tidal-verify", daemon=True)
    thread.start()
    try:
        yield good
    finally:
        thread.join()


def _is_ours(fs: FileSystem, path: Path, store_id: bytes, *, whole: bool) -> bool:
    try:
        header = verify_checkpoint(fs, path, from_device=True) if whole else read_header(fs, path)
    except (CorruptionError, FormatTooNew):
        return False
    return header.store_id == store_id
