"""Files of rows, read as chunks of columns: CSV, JSON Lines and Parquet; the suffix says which."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tidal.cli.readers.chunk import BrokenRow, Chunk, Reader
from tidal.cli.readers.compressed import COMPRESSIONS
from tidal.cli.readers.delimited import CsvReader
from tidal.cli.readers.jsonlines import JsonLinesReader
from tidal.cli.readers.parquet import ParquetReader
from tidal.errors import UsageError

__all__ = ["INPUT_FORMATS", "BrokenRow", "Chunk", "Reader", "input_format", "open_reader"]

INPUT_FORMATS: Final = ("csv", "jsonl", "parquet")
_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def input_format(path: Path) -> str:
    """Return the format that a file's name tells.

    >>> input_format(Path("orders.csv.gz"))
    'csv'
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in _BY_SUFFIX:
        raise UsageError(
            f"{path}: the name does not tell the format; add --input-format {'|'.join(INPUT_FORMATS)}"
        )
    return _BY_SUFFIX[suffixes[-1]]


def open_reader(path: Path, file_format: str | None = None, *, delimiter: str | None = None) -> Reader:
    """Return a reader of the file. Rows are not read before they are asked for."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(f"{path} is a stream, and a load reads its file twice: write it to a file first")
    match file_format or input_format(path):
        case "csv":
            tabs = ".tsv" in (suffix.lower() for suffix in path.suffixes)
            return CsvReader(path, delimiter=delimiter or ("\t" if tabs else ","))
        case "jsonl":
            return JsonLinesReader(path)
        case _:
            return ParquetReader(path)
