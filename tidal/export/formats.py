"""What files of an export are: format and compression, by name or by the suffix of a path."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple

from tidal.errors import InvalidOption

Compression = Literal["none", "gzip", "zstd"]
COMPRESSION_SUFFIXES: Final[Mapping[str, Compression]] = {".gz": "gzip", ".zst": "zstd"}


class ExportFormat(StrEnum):
    """The format of an exported file.

    ``JsonLines``: one JSON object a line. ``Csv``: RFC 4180 with a header. ``Parquet``. ``ArrowIpc``: the
    file format of Arrow, which is Feather version 2 too.
    """

    JsonLines = "jsonl"
    Csv = "csv"
    Parquet = "parquet"
    ArrowIpc = "arrow"

    @property
    def is_text(self) -> bool:
        """Whether it is compressed as a whole and not inside."""
        return self in (ExportFormat.JsonLines, ExportFormat.Csv)


SUFFIXES: Final[Mapping[str, ExportFormat]] = {
    ".jsonl": ExportFormat.JsonLines, ".ndjson": ExportFormat.JsonLines, ".csv": ExportFormat.Csv,
    ".parquet": ExportFormat.Parquet, ".pq": ExportFormat.Parquet, ".arrow": ExportFormat.ArrowIpc,
    ".feather": ExportFormat.ArrowIpc, ".ipc": ExportFormat.ArrowIpc,
}  # fmt: skip


class Encoding(NamedTuple):
    """How the bytes of a file come to be."""

    format: ExportFormat
    compression: Compression


def encoding_of(
    path: Path | None,
    format: ExportFormat | str | None = None,
    compression: Compression | None = None,
    *,
    default: ExportFormat | None = None,
) -> Encoding:
    """Return what is asked for, else what the path's suffix says, else the default.

    Left out, the compression is that of the suffix, else zstd for Parquet and none for the others. Raises
    InvalidOption where nothing says a format, or a path and an argument contradict each other.
    """
    suffixes = [] if path is None else [suffix.lower() for suffix in path.suffixes]
    packed = COMPRESSION_SUFFIXES.get(suffixes[-1]) if suffixes else None
    suffix = suffixes[-2:-1] if packed else suffixes[-1:]
    named = SUFFIXES.get(suffix[0]) if suffix else None
    chosen = _format(format) or named or default
    if chosen is None:
        raise InvalidOption(f"{path}: no suffix that says a format; say format=, one of {_names()}")
    if named not in (None, chosen):
        raise InvalidOption(f"{path} is named as {named} and the format is {chosen}; say one of them")
    if packed and not chosen.is_text:
        raise InvalidOption(
            f"{path}: {chosen} is compressed inside; leave {suffixes[-1]} out and say compression={packed!r}"
        )
    if compression not in (None, "none", "gzip", "zstd"):
        raise InvalidOption(f'compression is {compression!r}; it is one of "none", "gzip", "zstd"')
    if packed and compression not in (None, packed):
        raise InvalidOption(
            f"{path} is named as {packed}, and the compression is {compression}; say one of them"
        )
    if chosen is ExportFormat.ArrowIpc and compression == "gzip":
        raise InvalidOption('Arrow IPC has no gzip; say compression="zstd"')
    usual: Compression = "zstd" if chosen is ExportFormat.Parquet else "none"
    return Encoding(chosen, compression or packed or usual)


def _format(format: ExportFormat | str | None) -> ExportFormat | None:
    if format is None:
        return None
    try:
        return ExportFormat(format)
    except ValueError:
        raise InvalidOption(f"format is {format!r}; it is one of {_names()}") from None


def _names() -> str:
    return ", ".join(repr(format.value) for format in ExportFormat)
