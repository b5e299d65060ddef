"""rebuild(): the same events under another schema, in a new store."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.archive import read_archive_manifest
from tidal.checkpoint import list_checkpoints
from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import CorruptStore, InvalidOption, MissingSegment, SchemaError, StoreMissing
from tidal.format.manifest import Manifest
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.opening.arguments import advice_on_damage, check_schema, checked_folder
from tidal.opening.beside import beside_writer
from tidal.opening.remade import RemadeStore, Row
from tidal.records import record
from tidal.recovery import archived
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.storage import KEYSPACES, SqliteEngine
from tidal.store import StorePaths, load_store, store_exists
from tidal.wal import read_manifest, scan_log

Progress = Callable[[int, float], None]  # events read, and which share of all that is

_DROPPED = NOTE_TYPE_ID + 1  # what types are mapped to that are left out
_UNKNOWN = NOTE_TYPE_ID + 2  # and those that the store does not declare


@record
class RebuildReport:
    """What rebuild() did. Sequences are those of the source; the new store's begin at 1."""

    source: str
    target: str
    store_id: str  # of the source, hexadecimal
    first_seq: int
    last_seq: int  # 0: the source has no events
    events: int  # in the new store
    dropped: Mapping[str, int]  # events left out, by the name of their signal type
    entity_records: int  # names and metadata carried over

    @property
    def same_sequences(self) -> bool:
        """Whether every event has the sequence in the new store that it had in the source."""
        return self.first_seq <= 1 and not any(self.dropped.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {"made_by": "rebuild", **asdict(self), "same_sequences": self.same_sequences}


def rebuild(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    schema: Schema,
    drop: Collection[str] = (),
    partial: bool = False,
    progress: Progress | None = None,
    file_system: FileSystem | None = None,
) -> RebuildReport:
    """Make a new store of another schema from the history of a store: its archive, then its log.

    Half-lives and windows of a signal type may be any others, and there may be new types. Types are matched
    by name; one that ``schema`` lacks must be named in ``drop``, and its events are left out. Events, names
    and metadata are carried over; deduplication is not done again. The result is the store that the same
    events give when they are recorded anew.

    The source is only read. If another process writes to it meanwhile, what it writes last may be left out:
    ``last_seq`` of the report tells. ``partial`` accepts a history whose beginning is gone (retention):
    scores and counts are then those of the events that are left. ``progress`` is called with events done
    and the share of all.

    The target must not exist; it is made as ``TARGET.unfinished`` and renamed when it is whole.

    Raises StoreMissing, SchemaError (a type missing from ``schema`` and from ``drop``, or of another kind
    of entity, or signed before and not any more), InvalidOption (the target), MissingSegment, CorruptLog,
    CorruptArchive, CorruptStore, FormatTooNew, StorageError.

    >>> import tempfile, tidal
    >>> old = tidal.SchemaBuilder().signal("view", half_life="7d").build()
    >>> new = tidal.SchemaBuilder().signal("view", half_life="1d", windows=("1h",)).build()
    >>> folder = tempfile.mkdtemp()
    >>> with tidal.open(f"{folder}/a", schema=old) as db:
    ...     last = db.ingest(signal="view", entity_id=[7, 7, 8]).last_seq
    >>> rebuild(f"{folder}/a", f"{folder}/b", schema=new).events
    3
    """
    fs, paths = file_system or OsFileSystem(), StorePaths(checked_folder("source", source))
    made_at = checked_folder("target", target)
    _check(schema, drop, partial)
    if not store_exists(fs, paths):
        raise StoreMissing(f"{paths.base} is not a store; there is nothing to rebuild from")
    store = load_store(fs, paths)
    types = _type_map(store.schema, schema, drop)
    identity = LogIdentity(store.store_id, 0)
    with advice_on_damage(paths.base):
        history = _History(fs, paths, identity, read_manifest(fs, paths.wal, identity))
    if history.first_seq > 1 and not partial:
        error = MissingSegment(1, history.first_seq - 1, paths.archive)
        error.add_note("partial=True (--partial) makes the new store from the events that are left")
        raise error
    kept = 0
    dropped = {signal.type_id: 0 for signal in store.schema if types[signal.type_id] == _DROPPED}
    with RemadeStore(fs, paths.base, made_at, schema) as made, advice_on_damage(paths.base):
        for last_seq, batch in history:
            counts = np.bincount(batch.type_id, minlength=len(types))
            for type_id in dropped:
                dropped[type_id] += int(counts[type_id])
            mapped = _mapped(batch, types, paths.schema)
            made.write(mapped)
            kept += len(mapped)
            if progress is not None:
                progress(last_seq, history.share(last_seq))
        rows = _Rows(fs, paths)
        by_name = {store.schema.by_id(type_id).name: count for type_id, count in dropped.items()}
        report = RebuildReport(
            str(paths.base), str(made.target), store.store_id.hex(),
            history.first_seq, history.last_seq, kept, by_name, rows.count(),
        )  # fmt: skip
        made.finish(rows, report.to_dict)
    return report


def _check(schema: object, drop: object, partial: object) -> None:
    check_schema(schema)
    if schema is None:
        raise SchemaError("schema=None: a rebuild needs the schema of the new store")
    if isinstance(drop, str) or not isinstance(drop, Collection):
        raise InvalidOption(f'drop={drop!r}: give the names of signal types in a list, as ["view"]')
    if type(partial) is not bool:
        raise InvalidOption(f"partial={partial!r}: choose True or False")


class _History:
    """The batches of a store in order; ``last_seq`` is right once they were read."""

    def __init__(self, fs: FileSystem, paths: StorePaths, identity: LogIdentity, manifest: Manifest) -> None:
        self._fs, self._paths, self._identity = fs, paths, identity
        listed = read_archive_manifest(fs, paths.archive, identity)
        self.first_seq = listed.start_seq if listed else manifest.start_seq
        self.last_seq = 0
        # As opening it would: what a crash left unfinished is not there; damage is no end, but an error.
        # Synced, since nothing may be carried over that a power cut can still take from the source.
        self._until = beside_writer(
            fs, paths,
            lambda: scan_log(
                fs, paths.wal, identity, manifest=read_manifest(fs, paths.wal, identity),
                archived=archived(fs, paths, identity), sync=True,
            ),
        ).last_seq  # fmt: skip
        newest = (checkpoint.seq for checkpoint in list_checkpoints(fs, paths.checkpoints)[:1])
        self._least = max(manifest.last_seq, *newest, 0)

    def share(self, seq: int) -> float:
        """Return which share of the whole is done at this sequence, as far as it is known."""
        return min(1.0, seq / self._least) if self._least else 0.0

    def __iter__(self) -> Iterator[tuple[int, EventBatch]]:
        found = read_history(
            self._fs, self._paths, identity=self._identity, after_seq=self.first_seq - 1,
            until_seq=self._until,
        )  # fmt: skip
        for first, batch in found:
            self.last_seq = first + len(batch) - 1
            yield self.last_seq, batch
        if self.last_seq < self._least:
            raise MissingSegment(self.last_seq + 1, self._least, self._paths.wal)


class _Rows:
    """The records of a store's entities, from a private copy of their database."""

    def __init__(self, fs: FileSystem, paths: StorePaths) -> None:
        self._fs, self._path = fs, paths.entities

    def count(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Row]:
        engine = SqliteEngine(self._path, read_only=True, fs=self._fs)
        try:
            for keyspace in KEYSPACES.values():
                for key, value in engine.scan(keyspace):
                    yield keyspace, key, value
        finally:
            engine.close()


def _type_map(old: Schema, new: Schema, drop: Collection[str]) -> NDArray[np.uint16]:
    """Return the new id of each old one, or _DROPPED, or _UNKNOWN."""
    types = np.full(NOTE_TYPE_ID + 1, _UNKNOWN, np.uint16)
    types[NOTE_TYPE_ID] = NOTE_TYPE_ID  # operations of sessions name no signal types
    wrong = [f"{name}: to be dropped, but not a type of the store" for name in drop if name not in old.names]
    for signal in old:
        if signal.name in drop:
            if signal.name in new.names:
                wrong.append(f"{signal.name}: to be dropped, but declared")
            types[signal.type_id] = _DROPPED
        elif signal.name not in new.names:
            wrong.append(f"{signal.name}: not in the given schema; name it in drop= to leave its events out")
        else:
            other = new.signal(signal.name)
            if other.kind != signal.kind:
                wrong.append(f"{signal.name}: kind {signal.kind} -> {other.kind}")
            if signal.signed and not other.signed:
                wrong.append(f"{signal.name}: signed True -> False")
            types[signal.type_id] = other.type_id
    if wrong:
        raise SchemaError(f"no rebuild with this schema: {'; '.join(wrong)}")
    return types


def _mapped(batch: EventBatch, types: NDArray[np.uint16], schema_path: Path) -> EventBatch:
    """Return the events of types that are kept, with their new ids; the new keys of all."""
    mapped = types[batch.type_id]
    if bool((mapped == _UNKNOWN).any()):
        type_id = int(batch.type_id[mapped == _UNKNOWN][0])
        raise CorruptStore(schema_path, 0, f"the log has events of type {type_id}, which is not declared")
    if bool((mapped == _DROPPED).any()):
        kept = mapped != _DROPPED
        batch, mapped = replace(batch.where(kept), new_keys=batch.new_keys), mapped[kept]
    return replace(batch, type_id=mapped.astype(np.uint8))
