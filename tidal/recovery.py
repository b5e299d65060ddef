"""From the files of a store to its live state: the newest good checkpoint, and the log after it.

The one place where frames of the log become table updates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from tidal.archive import ArchivedFile, holds_segment, read_archive_manifest
from tidal.checkpoint.reader import Checkpoint, DamagedFile, newest_good
from tidal.checkpoint.writer import older_verified, remove_older, write_checkpoint
from tidal.dedup import SeenEvents
from tidal.durable import FileSystem
from tidal.errors import (
    CorruptArchive,
    CorruptCheckpoint,
    CorruptLog,
    CorruptStore,
    FormatError,
    FormatTooNew,
    MissingSegment,
    SchemaError,
)
from tidal.format.manifest import ListedSegment, Manifest
from tidal.format.segment import LogIdentity
from tidal.history import newest_times, read_history
from tidal.ledger import LedgerCopy, SignalLedger
from tidal.materializer import Materializer
from tidal.meters import said
from tidal.records import record
from tidal.schema.events import EventBatch, NewKey
from tidal.sessions import SessionState
from tidal.store import StorePaths
from tidal.wal import LogScan, ReplacedSegment, TornTail, read_manifest, scan_log

LEDGER_SECTIONS: Final = "ledger/"
_MATERIALIZER: Final = "materializer/"
SESSIONS_SECTION: Final = "sessions"  # there only if a session was ever opened

_logger = logging.getLogger(__name__)


@record
class RecoveryReport:
    """What opening a store found and did. Paths are where things lie now."""

    checkpoint_seq: int  # 0: no checkpoint was there
    replayed_events: int
    last_seq: int
    torn: TornTail | None = None  # what a crash left unfinished; cut off, and kept in quarantine/
    damaged_checkpoints: tuple[DamagedFile, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()  # sequences that only the checkpoint covers
    replaced: tuple[ReplacedSegment, ...] = ()  # damaged or gone, and in the archive
    clean_shutdown: bool = True  # the log was closed
    quarantined: tuple[Path, ...] = ()  # what was taken out of the way, never deleted
    leftovers: tuple[Path, ...] = ()  # what a crash left of finished work; removed, unless read_only
    notes: tuple[str, ...] = ()  # for people

    @property
    def clean(self) -> bool:
        """Whether nothing was damaged, torn or missing. A killed process leaves a store that is clean so."""
        return not (self.torn or self.damaged_checkpoints or self.missing or self.replaced)


@record
class Recovered:
    """What a store's files say, and where its log goes on; nothing was changed yet."""

    report: RecoveryReport
    manifest: Manifest
    scan: LogScan
    head_hash: bytes
    epoch: int  # the highest that was written
    new_keys: tuple[NewKey, ...]  # names that the replayed batches brought

    @property
    def next_epoch(self) -> int:
        """That of the next writer."""
        return self.epoch + 1

    def log_end(self) -> tuple[int, bytes]:
        """The last sequence, and the hash that the next segment continues."""
        return self.report.last_seq, self.head_hash


def recover(
    fs: FileSystem,
    paths: StorePaths,
    identity: LogIdentity,
    ledger: SignalLedger,
    sessions: SessionState,
    materializers: Mapping[str, Materializer],
    *,
    read_only: bool = False,
    absolute: bool = False,
) -> Recovered:
    """Fill an empty ledger, empty sessions and the materializers from the files of a store; no byte of those
    is changed.

    ``absolute``: an unfinished end of the log is CorruptLog too. ``read_only``: ``live``, as of scan_log.
    Raises CorruptLog, MissingSegment, CorruptCheckpoint, FormatTooNew, StorageError.
    """
    manifest = read_manifest(fs, paths.wal, identity)
    checkpoint, damaged = newest_good(fs, paths.checkpoints, identity.store_id)
    seq = checkpoint.seq if checkpoint else 0
    scan = scan_log(
        fs, paths.wal, identity,
        after_seq=seq, manifest=manifest, archived=archived(fs, paths, identity), live=read_only,
    )  # fmt: skip
    if absolute and scan.torn is not None:
        raise CorruptLog(
            scan.torn.path, scan.torn.offset,
            f'{scan.torn.reason}; recovery="absolute" takes no unfinished end: recovery="strict" cuts it off '
            "and keeps a copy in quarantine/",
        )  # fmt: skip
    if checkpoint:
        _check_history(checkpoint, paths.checkpoints, scan)
        _restore(checkpoint, paths.checkpoints, ledger, sessions)
    known, new = _restored(checkpoint, materializers)
    _feed_past(fs, paths, identity, seq, new)
    ledger.expect(newest_times([*_archived_files(fs, paths, identity, scan.last_seq), *scan.segments]))
    new_keys: list[NewKey] = []
    replayed = 0
    with ledger.gathering() as gathering:
        for _, batch in history(fs, paths, identity, seq, scan.last_seq):
            try:
                gathering.add(batch)
            except SchemaError as error:
                reason = f"the log has {error}: the file is older than the log; restore the newest"
                raise CorruptStore(paths.schema, 0, reason) from error
            try:
                sessions.on_events(batch)
            except FormatError as error:  # its hash is good: so it was written by another tidal
                raise FormatTooNew(
                    f"{paths.wal}: {error}; open the store with the tidal that wrote it"
                ) from error
            new_keys += batch.new_keys
            for materializer in (*known, *new):
                materializer.on_events(batch)
            replayed += len(batch)
    report = RecoveryReport(
        checkpoint_seq=seq,
        replayed_events=replayed,
        last_seq=max(scan.last_seq, seq),
        torn=scan.torn,
        damaged_checkpoints=tuple(damaged),
        missing=scan.gaps + (((scan.last_seq + 1, seq),) if scan.last_seq < seq else ()),
        replaced=scan.replaced,
        clean_shutdown=manifest.clean,
        leftovers=scan.leftovers,
        notes=scan.notes + _archive_notes(fs, paths, identity),
    )
    head_hash = scan.head_hash if scan.last_seq >= seq or checkpoint is None else checkpoint.log_hash
    epoch = max(manifest.epoch, scan.epoch, checkpoint.epoch if checkpoint else 0)
    return Recovered(report, manifest, scan, head_hash, epoch, tuple(new_keys))


def replay_seen(
    fs: FileSystem,
    paths: StorePaths,
    identity: LogIdentity,
    seen: SeenEvents,
    newest: int | None,
    last_seq: int,
) -> None:
    """Let a window of deduplication remember the end of the log, or as much of it as is still there.

    ``newest``: the time of the newest event of the store, in ns.
    """
    after = seen.begin_after(last_seq)
    while after < last_seq:
        try:
            for first, batch in history(fs, paths, identity, after, last_seq):
                seen.replay(first, batch)
                after = first + len(batch) - 1
            break
        except MissingSegment as gap:  # only a checkpoint knows these events
            _logger.warning(
                "events %d to %d are in neither log nor archive: deduplication remembers nothing of them, so "
                "any of them that is sent again is recorded again",
                gap.first, gap.last, extra=said("dedup_gap", first=gap.first, last=gap.last),
            )  # fmt: skip
            after = max(after + 1, gap.last)
    if newest is not None:
        seen.advance_clock(newest)


@record
class State:
    """A copy of all derived state at one sequence, ready to be written while ingest goes on."""

    seq: int
    log_hash: bytes
    ledger: LedgerCopy
    others: dict[str, bytes]  # sections


def save_checkpoint(
    fs: FileSystem,
    paths: StorePaths,
    identity: LogIdentity,
    state: State,
) -> int:
    """Write a checkpoint durably, then remove those that are older than the newest two.

    Returns the sequence after which the log is needed, as needed_after does.
    """
    with older_verified(fs, paths.checkpoints, identity.store_id, state.ledger.room) as older:
        meta, arrays = state.ledger.saved()
        path = write_checkpoint(
            fs,
            paths.checkpoints,
            seq=state.seq,
            store_id=identity.store_id,
            epoch=identity.epoch,
            log_hash=state.log_hash,
            meta={"ledger": meta},
            sections=state.others | {LEDGER_SECTIONS + name: array for name, array in arrays.items()},
        )
    return remove_older(fs, paths.checkpoints, identity.store_id, verified=[path, *older]) or 0


def needed_after(fs: FileSystem, paths: StorePaths, identity: LogIdentity) -> int:
    """Return the sequence of the second newest checkpoint that verifies, 0 without: later events are needed.

    Both are read from the device, since the log is given up on their word.
    """
    return remove_older(fs, paths.checkpoints, identity.store_id) or 0


def copy_state(
    seq: int,
    log_hash: bytes,
    ledger: LedgerCopy,
    sessions: SessionState,
    materializers: Mapping[str, Materializer],
) -> State:
    """Take a copy of the state and return it; no event may be applied meanwhile."""
    ledger.take()
    others = {_MATERIALIZER + name: it.checkpoint() for name, it in materializers.items()}
    if saved := sessions.checkpoint():
        others[SESSIONS_SECTION] = saved
    return State(seq, log_hash, ledger, others)


def _archive_notes(fs: FileSystem, paths: StorePaths, identity: LogIdentity) -> tuple[str, ...]:
    try:
        read_archive_manifest(fs, paths.archive, identity)
    except CorruptArchive as error:
        return (f"{error}; nothing of the archive was needed to open the store",)
    return ()


def _archived_files(
    fs: FileSystem, paths: StorePaths, identity: LogIdentity, last_seq: int
) -> tuple[ArchivedFile, ...]:
    """Return the files of the archive whose events are all in the history up to this sequence."""
    try:
        manifest = read_archive_manifest(fs, paths.archive, identity)
    except CorruptArchive:
        return ()
    return tuple(file for file in manifest.files if file.last_seq <= last_seq) if manifest else ()


def _check_history(checkpoint: Checkpoint, folder: Path, scan: LogScan) -> None:
    """Raise CorruptCheckpoint if the log has other events up to the checkpoint's sequence."""
    ends = (*(segment.link for segment in scan.segments), scan.tip)
    there = [end.final_hash for end in ends if end.last_seq == checkpoint.seq]
    there += [] if scan.hash_there is None else [scan.hash_there]
    if any(found != checkpoint.log_hash for found in there):
        raise CorruptCheckpoint(
            folder, 0,
            f"the checkpoint at {checkpoint.seq} is of another history than the log: one of them is "
            "from a copy of this store that went its own way",
        )  # fmt: skip


def _restore(checkpoint: Checkpoint, folder: Path, ledger: SignalLedger, sessions: SessionState) -> None:
    arrays = {
        name.removeprefix(LEDGER_SECTIONS): section
        for name, section in checkpoint.sections.items()
        if name.startswith(LEDGER_SECTIONS) and isinstance(section, np.ndarray)
    }
    try:
        ledger.load(checkpoint.meta["ledger"], arrays)
        if isinstance(state := checkpoint.sections.get(SESSIONS_SECTION), bytes):
            sessions.restore(state)
    except (KeyError, ValueError, TypeError, SchemaError) as error:
        # Its hashes are good, so whoever wrote it was not this tidal, or not with this schema.
        raise CorruptCheckpoint(
            folder, 0, f"the checkpoint at {checkpoint.seq} does not fit: {error}"
        ) from error


def _restored(
    checkpoint: Checkpoint | None, materializers: Mapping[str, Materializer]
) -> tuple[list[Materializer], list[Materializer]]:
    """Restore the materializers that the checkpoint knows; return those, and the ones that are new to it."""
    known, new = [], []
    for name, materializer in materializers.items():
        state = checkpoint.sections.get(_MATERIALIZER + name) if checkpoint else None
        if isinstance(state, bytes):
            materializer.restore(state)
            known.append(materializer)
        else:
            new.append(materializer)
    return known, new


def _feed_past(
    fs: FileSystem, paths: StorePaths, identity: LogIdentity, seq: int, materializers: list[Materializer]
) -> None:
    """Give materializers that no checkpoint knows the log up to ``seq``; MissingSegment where it is gone."""
    if materializers:
        for _, batch in history(fs, paths, identity, 0, seq):
            for materializer in materializers:
                materializer.on_events(batch)


def history(
    fs: FileSystem, paths: StorePaths, identity: LogIdentity, after_seq: int, until_seq: int
) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first sequence, batch) of the events after one sequence, to another that is there."""
    if until_seq > after_seq:
        yield from read_history(fs, paths, identity=identity, after_seq=after_seq, until_seq=until_seq)


def archived(fs: FileSystem, paths: StorePaths, identity: LogIdentity) -> Callable[[ListedSegment], bool]:
    """Return what tells whether the archive has a segment of the log, whole."""
    return lambda it: holds_segment(fs, paths.archive, identity, it.base_seq, it.last_seq, it.final_hash)
