"""What the checkpoints of a store hold, by their headers and directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tidal.checkpoint.reader import list_checkpoints
from tidal.durable import File, FileSystem
from tidal.errors import CorruptionError, FormatTooNew, StorageError
from tidal.format.snapshot import (
    HEADER_BYTES,
    DamagedSnapshot,
    SectionEntry,
    SnapshotHeader,
    decode_directory,
    decode_header,
    decode_section,
)
from tidal.inspect.events import Time
from tidal.inspect.findings import Notebook
from tidal.inspect.place import changed_at
from tidal.records import record
from tidal.recovery import LEDGER_SECTIONS, SESSIONS_SECTION
from tidal.sessions import SessionState

_ALL: Final = 1 << 62  # closed sessions: whatever the checkpoint has


@record
class SignalState:
    """What a checkpoint holds of one signal type."""

    entities: int
    bytes: int
    newest_time: Time | None


@record
class CheckpointInventory:
    """A checkpoint whose header and directory are good."""

    file: str
    seq: int  # the last event that it includes
    bytes: int
    written_at: Time | None  # by its file
    signals: Mapping[str, SignalState]
    sessions_open: int
    sessions_closed: int  # that are remembered


def take_checkpoints(
    fs: FileSystem, directory: Path, store_id: bytes | None, book: Notebook
) -> list[CheckpointInventory]:
    """Return the checkpoints whose header and directory are good, newest first."""
    good = []
    for _, path in list_checkpoints(fs, directory):
        try:
            file = fs.open_read(path)
            try:
                header = decode_header(file.read_at(0, HEADER_BYTES), file.size())
                found = _checkpoint(file, header, book)
            finally:
                file.close()
        except DamagedSnapshot as error:
            book.damage("checkpoint-damaged", path, error.reason, offset=error.offset)
        except (KeyError, TypeError, ValueError) as error:
            book.damage("checkpoint-damaged", path, f"it does not say what a checkpoint says: {error!r}")
        except (CorruptionError, FormatTooNew, StorageError) as error:
            if fs.exists(path):  # else a writer at work removed it: there are newer ones
                book.failed(path, error, "checkpoint-damaged")
        else:
            if store_id in (None, header.store_id):
                good.append(found)
            else:
                what = f"it is of the store {header.store_id.hex()}"
                book.damage("checkpoint-foreign", path, what, offset=0)
    return good


def _checkpoint(file: File, header: SnapshotHeader, book: Notebook) -> CheckpointInventory:
    data = file.read_at(HEADER_BYTES, header.sections_offset - HEADER_BYTES)
    entries, meta = decode_directory(header, data)
    opened, closed = _sessions(file, entries)
    written = changed_at(file.path)
    return CheckpointInventory(
        file=book.name(file.path),
        seq=header.seq,
        bytes=header.file_bytes,
        written_at=None if written is None else Time(written),
        signals=_signals(entries, meta),
        sessions_open=opened,
        sessions_closed=closed,
    )


def _signals(entries: tuple[SectionEntry, ...], meta: Mapping[str, Any]) -> dict[str, SignalState]:
    entities: dict[str, int] = {}
    size: dict[str, int] = {}
    for entry in entries:
        if entry.name.startswith(LEDGER_SECTIONS):
            signal, _, array = entry.name.removeprefix(LEDGER_SECTIONS).rsplit("/", 2)
            size[signal] = size.get(signal, 0) + entry.stored_bytes
            entities[signal] = entities.get(signal, 0) + (entry.shape[0] if array == "entity_id" else 0)
    clocks = meta["ledger"]["clocks"]
    return {
        name: SignalState(entities[name], size[name], Time(clocks[name]) if name in clocks else None)
        for name in sorted(size)
    }


def _sessions(file: File, entries: tuple[SectionEntry, ...]) -> tuple[int, int]:
    entry = next((entry for entry in entries if entry.name == SESSIONS_SECTION), None)
    if entry is None:
        return 0, 0
    saved = decode_section(entry, file.read_at(entry.offset, entry.padded_bytes))
    state = SessionState(_ALL, None)
    state.restore(saved if isinstance(saved, bytes) else b"")
    return state.counts()
