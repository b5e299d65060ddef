"""Signals out of the log and the archive: as objects, as Arrow, as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.durable import FileSystem
from tidal.export.columns import Codes, Field
from tidal.export.formats import Compression, ExportFormat, encoding_of
from tidal.export.output import Written
from tidal.export.request import ExportedSignal, ExportRequest
from tidal.export.selection import Selected, Selection
from tidal.export.source import SignalSource
from tidal.export.table import Table
from tidal.export.text import IdsAs

FIELDS = (
    Field("entity_id", "uint64"),
    Field("signal_type", "string"),
    Field("weight", "float32"),
    Field("timestamp_ns", "timestamp"),
    Field("user_id", "uint64", nullable=True),
    Field("session_id", "uint64", nullable=True),
)
KEY_FIELDS = (Field("entity_key", "string", nullable=True), Field("user_key", "string", nullable=True))


def export_signals(source: SignalSource, request: ExportRequest) -> SignalExport:
    """Return the signals that are asked for, in the order of the log, up to what is durable now.

    Raises InvalidOption, InvalidEntity, UnknownSignalType at once; while it is read MissingSegment where
    events after ``after_seq`` are gone, CorruptLog, CorruptArchive, StorageError.
    """
    return SignalExport(source, request.checked(source.schema))


class SignalExport:
    """The signals that match a request, in the order of the log: read once, while they are asked for.

    An iterator of ExportedSignal; or ``to_list()``, ``to_arrow()``, any Arrow consumer, ``table()``,
    ``write()``. It reads only what was durable when it was made, without asking the writer. Memory: one
    segment of the log, and 65,536 events.
    """

    def __init__(self, source: SignalSource, request: ExportRequest) -> None:
        self.request = request
        self.schema = source.schema
        self.fields = FIELDS + KEY_FIELDS if request.keys else FIELDS
        self._source = source
        self._selection = Selection(source, request)
        self._batches = iter(self._selection)
        self._items = self._each()
        self._last_item: int | None = None  # while single events are taken

    @property
    def last_seq(self) -> int:
        """The sequence up to which the log was read; pass it as ``after_seq`` to go on from there.

        Of single events, that of the last one that was taken, until there are no more.
        """
        return self._selection.last_seq if self._last_item is None else self._last_item

    @property
    def share(self) -> float:
        """How much of the sequences asked for was read, 0.0 to 1.0."""
        return self._selection.share

    def __iter__(self) -> Iterator[ExportedSignal]:
        return self

    def __next__(self) -> ExportedSignal:
        return next(self._items)

    def to_list(self) -> list[ExportedSignal]:
        """Return all that is left as a list."""
        return list(self)

    def table(self) -> Table:
        """Return what is left as a table: entity_id, signal_type, weight, timestamp_ns, user_id, session_id,
        and with ``keys`` entity_key and user_key.
        """
        return Table(self.fields, map(self._columns, self._batches), info=self._info)

    def to_arrow(self) -> Any:
        """Return what is left as a pyarrow.Table. Raises MissingExtra."""
        return self.table().to_arrow()

    def __arrow_c_schema__(self) -> object:
        return self.table().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table().__arrow_c_stream__(requested_schema)

    def write(
        self,
        path: str | Path,
        *,
        format: ExportFormat | str | None = None,
        compression: Compression | None = None,
        info: Mapping[str, Any] | None = None,
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        ids_as: IdsAs = "number",
        neutralise: bool = True,
        fs: FileSystem | None = None,
    ) -> Written:
        """Write what is left to a file, as Table.write() does; return what was written.

        The format is that of the path's suffix, else that of the request. The manifest has the request,
        as ``first_seq`` the sequence of the first event, and as ``last_seq`` that up to which was read.
        """
        encoding = encoding_of(Path(path), format, compression, default=self.request.format)
        return self.table().write(
            path, format=encoding.format, compression=encoding.compression, info=info, progress=progress,
            cancelled=cancelled, ids_as=ids_as, neutralise=neutralise, fs=fs,
        )  # fmt: skip

    def _info(self) -> dict[str, Any]:
        selection = self._selection
        return {
            "request": self.request.to_dict(),
            "first_seq": selection.first_event,
            "last_seq": self.last_seq,
        }

    def _each(self) -> Iterator[ExportedSignal]:
        names = [field.name for field in self.fields]
        for selected in self._batches:
            self._last_item = selected.after_seq
            rows = Table(self.fields, [self._columns(selected)]).rows()
            for seq, row in zip(selected.seqs.tolist(), rows, strict=True):
                self._last_item = seq
                yield ExportedSignal(**{name: row[name] for name in names})
            self._last_item = None

    def _columns(self, selected: Selected) -> Mapping[str, Any]:
        events = selected.events
        columns: dict[str, Any] = {
            "entity_id": events.entity_id,
            "signal_type": Codes(*self._selection.names_of(events.type_id)),
            "weight": events.weight,
            "timestamp_ns": events.timestamp,
            "user_id": events.user_id or _none(len(events)),
            "session_id": events.session_id or _none(len(events)),
        }
        if self.request.keys:
            columns["entity_key"] = self._selection.entity_keys(events)
            columns["user_key"] = self._selection.user_keys(events)
        return columns


def _none(count: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    return np.zeros(count, np.uint64), np.zeros(count, np.bool_)
