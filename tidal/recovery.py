"""From the files of a store to its live state: the newest good checkpoint, and the log after it.

The one place where frames of the log become table updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidal.checkpoint.reader import Checkpoint, DamagedFile, newest_good
from tidal.checkpoint.writer import remove_older, write_checkpoint
from tidal.durable import FileSystem
from tidal.entities import KeyNames
from tidal.errors import CorruptCheckpoint, SchemaError
from tidal.format.segment import LogIdentity
from tidal.ledger import SignalLedger
from tidal.materializer import Materializer
from tidal.schema.events import EventBatch
from tidal.store import StorePaths
from tidal.wal import TornTail, read_batches, scan_log
from tidal.wal.repair import repair_tail

_LEDGER: Final = "ledger/"
_MATERIALIZER: Final = "materializer/"


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What opening a store found and did."""

    checkpoint_seq: int  # 0: no checkpoint was there
    replayed_events: int
    last_seq: int
    torn: TornTail | None = None  # what a crash left unfinished; cut off, and kept in quarantine/
    damaged_checkpoints: tuple[DamagedFile, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()  # sequences that only the checkpoint covers

    @property
    def clean(self) -> bool:
        """Whether nothing was damaged, torn or missing."""
        return not (self.torn or self.damaged_checkpoints or self.missing)


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where the log goes on."""

    report: RecoveryReport
    epoch: int  # the highest that wrote
    head_hash: bytes


def recover(
    fs: FileSystem,
    paths: StorePaths,
    identity: LogIdentity,
    ledger: SignalLedger,
    names: KeyNames,
    materializers: Mapping[str, Materializer],
    *,
    read_only: bool,
) -> Recovered:
    """Fill an empty ledger, the names and the materializers; repair the log's end unless ``read_only``.

    Raises CorruptLog, MissingSegment, CorruptCheckpoint, FormatTooNew or StorageError with nothing changed on
    disk but what repair and quarantine say.
    """
    quarantine = None if read_only else paths.quarantine
    checkpoint, damaged = newest_good(fs, paths.checkpoints, identity.store_id, quarantine)
    seq = checkpoint.seq if checkpoint else 0
    scan = scan_log(fs, paths.wal, identity, after_seq=seq)
    torn = scan.torn
    if scan.needs_repair and not read_only:
        scan = repair_tail(fs, scan, paths.quarantine)
    if checkpoint:
        _restore(checkpoint, paths.checkpoints, ledger)
    replayed = 0
    known, new = _restored(checkpoint, materializers)
    _feed_past(fs, paths, identity, seq, new)
    for batch in _batches(fs, paths, identity, seq, scan.last_seq):
        ledger.apply(batch)
        names.adopt(batch.new_keys)
        for materializer in (*known, *new):
            materializer.on_events(batch)
        replayed += len(batch)
    last_seq = max(scan.last_seq, seq)
    missing = scan.gaps + (((scan.last_seq + 1, seq),) if scan.last_seq < seq else ())
    report = RecoveryReport(seq, replayed, last_seq, torn, tuple(damaged), missing)
    head_hash = scan.head_hash if scan.last_seq >= seq or checkpoint is None else checkpoint.log_hash
    return Recovered(report, max(scan.epoch, checkpoint.epoch if checkpoint else 0), head_hash)


@dataclass(frozen=True, slots=True)
class State:
    """A copy of all derived state at one sequence, ready to be written while ingest goes on."""

    seq: int
    log_hash: bytes
    meta: dict[str, Any]
    sections: dict[str, Any]


def save_checkpoint(
    fs: FileSystem,
    paths: StorePaths,
    identity: LogIdentity,
    state: State,
) -> Path:
    """Write a checkpoint durably, then remove those that are older than the newest two."""
    path = write_checkpoint(
        fs,
        paths.checkpoints,
        seq=state.seq,
        store_id=identity.store_id,
        epoch=identity.epoch,
        log_hash=state.log_hash,
        meta=state.meta,
        sections=state.sections,
    )
    remove_older(fs, paths.checkpoints, identity.store_id, verified=[path])
    return path


def copy_state(
    seq: int, log_hash: bytes, ledger: SignalLedger, materializers: Mapping[str, Materializer]
) -> State:
    """Return a copy of the state; no event may be applied meanwhile."""
    meta, arrays = ledger.save()
    sections: dict[str, Any] = {_LEDGER + name: array for name, array in arrays.items()}
    sections |= {_MATERIALIZER + name: it.checkpoint() for name, it in materializers.items()}
    return State(seq, log_hash, {"ledger": meta}, sections)


def _restore(checkpoint: Checkpoint, folder: Path, ledger: SignalLedger) -> None:
    arrays = {
        name.removeprefix(_LEDGER): section
        for name, section in checkpoint.sections.items()
        if name.startswith(_LEDGER) and isinstance(section, np.ndarray)
    }
    try:
        ledger.load(checkpoint.meta["ledger"], arrays)
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
        for batch in _batches(fs, paths, identity, 0, seq):
            for materializer in materializers:
                materializer.on_events(batch)


def _batches(
    fs: FileSystem, paths: StorePaths, identity: LogIdentity, after_seq: int, until_seq: int
) -> Iterator[EventBatch]:
    if until_seq > after_seq:
        for _, batch in read_batches(
            fs, paths.wal, identity=identity, after_seq=after_seq, until_seq=until_seq
        ):
            yield batch
