"""rebuild(): the same events under another schema, in a new store."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import CorruptStore, InvalidOption, MissingSegment, SchemaError, StoreMissing
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.opening.arguments import advice_on_damage, check_schema, checked_folder
from tidal.opening.extent import look_at_history
from tidal.opening.remade import RemadeStore, Row
from tidal.records import record
from tidal.schema import EventBatch, Schema
from tidal.schema.matching import DROPPED, UNKNOWN, match_types
from tidal.storage import KEYSPACES, SqliteEngine
from tidal.store import StorePaths, load_store, store_exists

Progress = Callable[[int, float], None]  # events read, and which share of all that is


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
    resume: bool = False,
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

    The target must not exist; it is made as ``TARGET.unfinished`` and renamed when it is whole. ``resume``
    goes on with what an interrupted rebuild of the same source, schema and ``drop`` has left there.

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
    _check(schema, drop, partial, resume)
    if not store_exists(fs, paths):
        raise StoreMissing(f"{paths.base} is not a store; there is nothing to rebuild from")
    identity = load_store(fs, paths).log
    with advice_on_damage(paths.base):
        history = _History(fs, paths, identity)
    types = match_types(history.schema, schema, drop, task="rebuild")
    if history.first_seq > 1 and not partial:
        error = MissingSegment(1, history.first_seq - 1, paths.archive)
        error.add_note("partial=True (--partial) makes the new store from the events that are left")
        raise error
    kept = 0
    dropped = {signal.type_id: 0 for signal in history.schema if types[signal.type_id] == DROPPED}
    start = {
        "made_by": "rebuild", "store_id": identity.store_id.hex(), "first_seq": history.first_seq,
        "drop": sorted(drop), "schema": schema.to_dict(),
    }  # fmt: skip
    place = identity.region, identity.shard
    remade = RemadeStore(fs, paths.base, made_at, schema, place, start=start, resume=resume)
    with remade as made, advice_on_damage(paths.base):
        for last_seq, batch in history:
            counts = np.bincount(batch.type_id, minlength=len(types))
            for type_id in dropped:
                dropped[type_id] += int(counts[type_id])
            mapped = _mapped(batch, types, paths.schema)
            there = min(max(made.written - kept, 0), len(mapped))  # an interrupted run has written these
            made.write(
                replace(mapped.rows(there, len(mapped)), new_keys=mapped.new_keys) if there else mapped
            )
            kept += len(mapped)
            if progress is not None:
                progress(last_seq, history.share(last_seq))
        rows = _Rows(fs, paths)
        by_name = {history.schema.by_id(type_id).name: count for type_id, count in dropped.items()}
        report = RebuildReport(
            str(paths.base), str(made.target), identity.store_id.hex(),
            history.first_seq, history.last_seq, kept, by_name, rows.count(),
        )  # fmt: skip
        made.finish(rows, report.to_dict)
    return report


def _check(schema: object, drop: object, partial: object, resume: object) -> None:
    check_schema(schema)
    if schema is None:
        raise SchemaError("schema=None: a rebuild needs the schema of the new store")
    if isinstance(drop, str) or not isinstance(drop, Collection):
        raise InvalidOption(f'drop={drop!r}: give the names of signal types in a list, as ["view"]')
    for name, value in (("partial", partial), ("resume", resume)):
        if type(value) is not bool:
            raise InvalidOption(f"{name}={value!r}: choose True or False")


class _History:
    """The batches of a store in order; ``last_seq`` is right once they were read."""

    def __init__(self, fs: FileSystem, paths: StorePaths, identity: LogIdentity) -> None:
        self._fs, self._paths, self._identity = fs, paths, identity
        self._extent = look_at_history(fs, paths, identity)
        self.first_seq, self.schema = self._extent.first_seq, self._extent.schema
        self.last_seq = 0

    def share(self, seq: int) -> float:
        """Return which share of the whole is done at this sequence, as far as it is known."""
        least = self._extent.least
        return min(1.0, seq / least) if least else 0.0

    def __iter__(self) -> Iterator[tuple[int, EventBatch]]:
        found = read_history(
            self._fs, self._paths, identity=self._identity, after_seq=self.first_seq - 1,
            until_seq=self._extent.last_seq,
        )  # fmt: skip
        for first, batch in found:
            self.last_seq = first + len(batch) - 1
            yield self.last_seq, batch
        self._extent.check_end(self._paths)


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


def _mapped(batch: EventBatch, types: NDArray[np.uint16], schema_path: Path) -> EventBatch:
    """Return the events of types that are kept, with their new ids; the new keys of all."""
    mapped = types[batch.type_id]
    if bool((mapped == UNKNOWN).any()):
        type_id = int(batch.type_id[mapped == UNKNOWN][0])
        raise CorruptStore(schema_path, 0, f"the log has events of type {type_id}, which is not declared")
    if bool((mapped == DROPPED).any()):
        kept = mapped != DROPPED
        batch, mapped = replace(batch.where(kept), new_keys=batch.new_keys), mapped[kept]
    return replace(batch, type_id=mapped.astype(np.uint8))
