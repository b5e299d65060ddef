"""Table: rows that leave the store, in one schema, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tidal.durable import FileSystem, OsFileSystem
from tidal.errors import ExportCancelled, InvalidOption
from tidal.export.arrow import arrow_schema, arrow_stream, record_batches
from tidal.export.columns import Codes, Column, Field, FieldType, Numbers, Rows, checked_rows
from tidal.export.encode import encode
from tidal.export.formats import Compression, Encoding, ExportFormat, encoding_of
from tidal.export.output import Written, encode_manifest, manifest_path, write_whole
from tidal.export.text import IdsAs, TextOptions

__all__ = ["Codes", "Field", "FieldType", "Table", "Written"]

Info = Mapping[str, Any]


class Table:
    """Rows in one fixed schema, made while they are read: ``fields``, and batches that are asked for once.

    A batch maps each field's name to a column: a NumPy array; a pair of values and validity (bool, or None
    where every row has a value), as an IdColumn is; a list of str and None for texts; ``Codes`` for texts of
    which there are few; for messages a list of lists of (role, content). What does not fit its field raises
    ValueError or TypeError when it is reached.

    It is read once, by one of: iterating ``rows()``, ``to_arrow()``, any Arrow consumer, ``chunks()``,
    ``write()``. Memory: one batch.

    >>> table = Table([Field("n", "int64"), Field("name", "string", nullable=True)],
    ...               [{"n": [1, 2], "name": ["one", None]}])
    >>> list(table.rows())
    [{'n': 1, 'name': 'one'}, {'n': 2, 'name': None}]
    """

    def __init__(
        self,
        fields: Sequence[Field],
        batches: Iterable[Mapping[str, Any]],
        *,
        info: Info | Callable[[], Info] | None = None,
    ) -> None:
        self.fields = tuple(fields)
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise InvalidOption(f"two columns have one name: {names}")
        self._batches = iter(batches)
        self._taken = False
        self._info = info

    @property
    def info(self) -> Info:
        """What the manifest says beside the file itself: final once the table was read."""
        return (self._info() if callable(self._info) else self._info) or {}

    def batches(self) -> Iterator[Rows]:
        """Yield the rows in the form that writers read. Raises InvalidOption where the table was read."""
        if self._taken:
            raise InvalidOption("the table was read already; ask for it anew")
        self._taken = True
        return (rows for batch in self._batches if (rows := checked_rows(self.fields, batch)).row_count)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each row as a dict. A timestamp is an int (ns), json its text, messages a list of pairs."""
        names = [field.name for field in self.fields]
        for rows in self.batches():
            for values in zip(*map(_values, rows.columns), strict=True):
                yield dict(zip(names, values, strict=True))

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow.Table. Raises MissingExtra."""
        with record_batches(self.fields, self.batches(), "to_arrow()") as reader:
            return reader.read_all()

    def __arrow_c_schema__(self) -> object:
        return arrow_schema(self.fields)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as a stream of batches, each made when it is asked for; nothing is cast.

        What goes wrong then is the consumer's error, with our text in it.
        """
        return arrow_stream(self.fields, self.batches())

    def chunks(
        self,
        format: ExportFormat | str = ExportFormat.JsonLines,
        compression: Compression | None = None,
        *,
        ids_as: IdsAs = "number",
        neutralise: bool = True,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> Iterator[bytes]:
        """Yield the bytes of a file of this format, as write() would make it; for streams.

        ``on_rows`` is told after each chunk how many rows there are so far.
        """
        encoding = encoding_of(None, format, compression)
        return self._encoded(encoding, TextOptions.checked(ids_as, neutralise), on_rows)

    def write(
        self,
        path: str | Path,
        *,
        format: ExportFormat | str | None = None,
        compression: Compression | None = None,
        info: Info | None = None,
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        ids_as: IdsAs = "number",
        neutralise: bool = True,
        fs: FileSystem | None = None,
    ) -> Written:
        """Write all rows to a file, and beside it ``<name>.manifest.json``; return what was written.

        ``format`` and ``compression`` ("none", "gzip", "zstd") are what the path's suffixes say, unless
        given. The file appears under its name when it is whole and durable, and replaces what had the name;
        what is raised before that leaves nothing. The manifest follows it, and has its BLAKE3, rows, columns,
        ``info`` and ``self.info``; where it cannot be written, the file stays without one.

        ``progress`` is told the rows so far; ``cancelled`` is asked after each batch. ``ids_as="text"``
        writes ids in JSON as texts, for readers that lose integers beyond 2**53. ``neutralise=False``
        leaves texts in CSV that a spreadsheet would run as formulas as they are. ``fs`` is for files that
        lie in a store.

        Raises InvalidOption, ExportCancelled, MissingExtra, StorageError (NoSpace), and what the source of
        the rows raises.
        """
        path, fs = Path(path), fs or OsFileSystem()
        encoding = encoding_of(path, format, compression)
        count = 0

        def on_rows(rows: int) -> None:
            nonlocal count
            count = rows
            if progress is not None:
                progress(rows)
            if cancelled is not None and cancelled():
                raise ExportCancelled(f"{path}: cancelled after {rows:,} rows; nothing was written")

        output = write_whole(
            fs, path, self._encoded(encoding, TextOptions.checked(ids_as, neutralise), on_rows)
        )
        manifest = {
            "file": path.name,
            "format": encoding.format.value,
            "compression": encoding.compression,
            "rows": count,
            "bytes": output.bytes,
            "blake3": output.hash,
            "columns": [field.to_dict() for field in self.fields],
            **self.info,
            **(info or {}),
        }
        write_whole(fs, manifest_path(path), [encode_manifest(manifest)])
        return Written(path, count, output.bytes, output.hash, manifest_path(path))

    def _encoded(
        self, encoding: Encoding, options: TextOptions, on_rows: Callable[[int], None]
    ) -> Iterator[bytes]:
        return encode(self.fields, self.batches(), encoding, options, on_rows)


def _values(column: Column) -> list[Any]:
    """Return a column as Python values."""
    if isinstance(column, Codes):
        return [column.names[code] for code in column.codes.tolist()]
    if isinstance(column, Numbers):
        values: list[Any] = column.values.tolist()
        if column.valid is None:
            return values
        return [value if valid else None for value, valid in zip(values, column.valid.tolist(), strict=True)]
    return list(column)
