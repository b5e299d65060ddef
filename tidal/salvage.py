"""salvage(): a new store from every batch of a damaged one that still proves itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import CorruptionError, CorruptStore, FormatTooNew, SchemaError, StorageError, StoreMissing
from tidal.opening.arguments import check_schema, checked_folder
from tidal.opening.remade import RemadeStore, Row
from tidal.schema import EventBatch, Schema
from tidal.schema.events import NOTE_TYPE_ID
from tidal.storage import KEYSPACES, SqliteEngine
from tidal.store import StorePaths

if TYPE_CHECKING:
    from tidal.inspect import Finding

Progress = Callable[[int, float], None]  # events saved, and which share of the whole work is done


class MovedRange(NamedTuple):
    """Events that had the sequences ``first_seq`` to ``last_seq``, and begin at ``new_first_seq`` now."""

    first_seq: int
    last_seq: int
    new_first_seq: int


@dataclass(slots=True)
class SalvageReport:
    """What salvage() saved and what it did not. Sequences are the source's unless they are called new."""

    source: str
    target: str
    store_id: str  # of the source, hexadecimal
    first_seq: int = 1  # where the source's history began that retention had left
    events: int = 0  # saved; their new sequences are 1 to this
    moved: list[MovedRange] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)  # sequences that nothing good holds
    skipped: list[Finding] = field(default_factory=list)  # what was passed by: file, offset, sequences, why
    entity_records: int = 0  # names and metadata carried over
    entity_records_damaged: int = 0

    @property
    def lost_events(self) -> int:
        """How many sequences are lost, of those that anything tells of."""
        return sum(last - first + 1 for first, last in self.lost)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            "made_by": "salvage",
            **asdict(self),
            "moved": [moved._asdict() for moved in self.moved],
            "lost": [{"first_seq": first, "last_seq": last} for first, last in self.lost],
            "lost_events": self.lost_events,
            "skipped": [finding.to_dict() for finding in self.skipped],
        }


def salvage(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    schema: Schema | None = None,
    progress: Progress | None = None,
    file_system: FileSystem | None = None,
) -> SalvageReport:
    """Save every event of a damaged store that can be proven into a new store; the source is only read.

    Every batch of the log and of the archive is looked for, also behind damage, and taken if its hash is
    good: in the order of the old sequences, each event once. Names and metadata are carried over, row by
    row. store.json and the manifests are not needed; the schema is: schema.json's, an archive file's, or
    ``schema``, which must then declare the signal types in the order of the store. A folder that holds
    nothing but archive files will do.

    The new store has an id and sequences of its own, from 1 without a gap: the report says which range
    became which, and is kept as origin.json in the new store. ``progress`` is called with the events saved
    and the share of the work. The target must not exist; it is made as ``TARGET.unfinished`` and renamed
    when it is whole. Stop whatever writes to the source before.

    Raises StoreMissing, InvalidOption (the target), SchemaError (there is none), CorruptStore if nothing is
    good, StorageError. What cannot be read of the source is passed by, and is in the report.

    >>> import tempfile, tidal
    >>> folder = tempfile.mkdtemp()
    >>> with tidal.open(f"{folder}/a", schema=tidal.SchemaBuilder().signal("view").build()) as db:
    ...     last = db.ingest(signal="view", entity_id=[7, 7, 8]).last_seq
    >>> report = salvage(f"{folder}/a", f"{folder}/b")
    >>> report.events, report.lost, report.moved
    (3, [], [MovedRange(first_seq=1, last_seq=3, new_first_seq=1)])
    """
    from tidal.inspect.kinds import names_in
    from tidal.inspect.remains import find_remains, read_run

    fs, paths = file_system or OsFileSystem(), StorePaths(checked_folder("source", source))
    made_at = checked_folder("target", target)
    check_schema(schema)
    if not fs.exists(paths.base) or names_in(fs, paths.base) is None:
        raise StoreMissing(f"{paths.base} is not a folder; there is nothing to salvage")
    step = progress or (lambda events, share: None)
    remains = find_remains(fs, paths, lambda share: step(0, share / 2))
    if remains is None or not remains.runs:
        raise CorruptStore(paths.base, 0, "no batch of events in it is good: nothing can be salvaged")
    declared = schema or remains.schema
    if declared is None:
        raise SchemaError(
            f"{paths.schema} cannot be read, and no archive holds the schema: give it as schema= (--schema), "
            "with the signal types in the order in which the store declares them"
        )
    with RemadeStore(fs, paths.base, made_at, declared, remains.place) as made:
        report = SalvageReport(str(paths.base), str(made.target), remains.store_id.hex(), remains.first_seq)
        report.skipped += remains.findings
        writer = _Writer(made, declared, report, paths)
        for run in remains.in_order():
            for first, batch in read_run(fs, run, remains.store_id) if run.last_seq > writer.position else ():
                writer.write(first, batch)
                step(report.events, 0.5 + min(0.5, writer.position / (2 * remains.last_seq)))
        writer.end(remains.last_seq)
        made.finish(_good_rows(fs, paths, report), report.to_dict)
    return report


class _Writer:
    """Writes the events in order, each once, and notes in the report where they went."""

    def __init__(self, made: RemadeStore, schema: Schema, report: SalvageReport, paths: StorePaths) -> None:
        self.position = report.first_seq - 1  # the last old sequence that was saved or given up
        self._made, self._report, self._paths = made, report, paths
        self._types = np.array([NOTE_TYPE_ID, *(signal.type_id for signal in schema)], np.uint8)

    def write(self, first_seq: int, batch: EventBatch) -> None:
        """Write what of a batch was not written yet."""
        last_seq = first_seq + len(batch) - 1
        if last_seq <= self.position:
            return
        if first_seq > self.position + 1:
            self._report.lost.append((self.position + 1, first_seq - 1))
        start = max(0, self.position + 1 - first_seq)
        declared = np.isin(batch.type_id, self._types)
        declared[:start] = False
        for begin, end in _stretches(declared):
            self._save(first_seq + begin, replace(batch.rows(begin, end), new_keys=batch.new_keys))
        if unknown := len(batch) - start - int(declared.sum()):
            what = f"{unknown} of these events are of signal types that the schema does not declare"
            self._report.skipped.append(
                _damage("unknown-type", self._paths.schema.name, what, None, first_seq, last_seq)
            )
        self.position = last_seq

    def end(self, last_seq: int) -> None:
        """Note what is lost at the end, if anything tells of later events."""
        if last_seq > self.position:
            self._report.lost.append((self.position + 1, last_seq))

    def _save(self, first_seq: int, batch: EventBatch) -> None:
        new_first, new_last = self._made.write(batch)
        report = self._report
        report.events = new_last
        last = report.moved[-1] if report.moved else None
        if last is not None and last.last_seq + 1 == first_seq:
            report.moved[-1] = last._replace(last_seq=first_seq + len(batch) - 1)
        else:
            report.moved.append(MovedRange(first_seq, first_seq + len(batch) - 1, new_first))


def _damage(*what: Any) -> Finding:
    from tidal.inspect import Finding, Severity

    return Finding(Severity.DAMAGE, *what)


def _stretches(chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each run of chosen rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8))).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def _good_rows(fs: FileSystem, paths: StorePaths, report: SalvageReport) -> Iterator[Row]:
    """Yield the records of entities whose checksum is good."""
    try:
        engine = SqliteEngine(paths.entities, read_only=True, fs=fs)
    except (CorruptionError, FormatTooNew, StorageError) as error:
        what = f"no names and metadata could be read: {error}"
        report.skipped.append(_damage("entities-damaged", paths.entities.name, what))
        return
    try:
        for keyspace in KEYSPACES.values():
            for row in engine.survey(keyspace):
                if isinstance(row, CorruptStore):
                    report.entity_records_damaged += 1
                    report.skipped.append(_damage("entities-damaged", paths.entities.name, row.reason))
                else:
                    report.entity_records += 1
                    yield keyspace, *row
    finally:
        engine.close()
