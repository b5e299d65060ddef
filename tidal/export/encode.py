"""The bytes of a file, made chunk by chunk while the rows come."""

from __future__ import annotations

import gzip
import importlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import zstandard

from tidal.errors import MissingExtra
from tidal.export.arrow import record_batches
from tidal.export.columns import Field, Rows
from tidal.export.formats import Compression, Encoding, ExportFormat
from tidal.export.text import TextOptions, csv_chunks, json_chunks

GZIP_LEVEL: Final = 6
ZSTD_LEVEL: Final = 3

OnRows = Callable[[int], None]
Chunk = tuple[bytes, int]  # bytes, and how many rows they end


def encode(
    fields: Sequence[Field],
    batches: Iterator[Rows],
    encoding: Encoding,
    options: TextOptions,
    on_rows: OnRows,
) -> Iterator[bytes]:
    """Yield the bytes of a file; ``on_rows`` is told the rows so far, after each batch."""
    match encoding.format:
        case ExportFormat.JsonLines:
            return _packed(_counted(json_chunks(fields, batches, options), on_rows), encoding.compression)
        case ExportFormat.Csv:
            return _packed(_counted(csv_chunks(fields, batches, options), on_rows), encoding.compression)
        case ExportFormat.Parquet:
            return _by_arrow(fields, batches, _parquet_writer, encoding.compression, on_rows)
        case ExportFormat.ArrowIpc:
            return _by_arrow(fields, batches, _ipc_writer, encoding.compression, on_rows)


def _counted(chunks: Iterable[Chunk], on_rows: OnRows) -> Iterator[bytes]:
    count = 0
    for data, rows in chunks:
        yield data
        count += rows
        on_rows(count)


def _packed(chunks: Iterator[bytes], compression: Compression) -> Iterator[bytes]:
    if compression == "none":
        return chunks
    return _gzip(chunks) if compression == "gzip" else _zstd(chunks)


def _gzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    held = _Held()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=held, mtime=0) as packer:
        for chunk in chunks:
            packer.write(chunk)
            yield from held.take()
    yield from held.take()


def _zstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _by_arrow(
    fields: Sequence[Field],
    batches: Iterator[Rows],
    open_writer: Callable[[io.RawIOBase, Any, Compression], Any],
    compression: Compression,
    on_rows: OnRows,
) -> Iterator[bytes]:
    held, count = _Held(), 0
    with record_batches(fields, batches, "writing this format") as reader:
        with open_writer(held, reader.schema, compression) as writer:
            for batch in reader:
                writer.write_batch(batch)
                yield from held.take()
                count += batch.num_rows
                on_rows(count)
        yield from held.take()


def _parquet_writer(file: io.RawIOBase, schema: Any, compression: Compression) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "writing Parquet") from None
    # Without the Arrow schema in it the file says "string" and not "large string", which all readers take.
    return parquet.ParquetWriter(file, schema, compression=compression, store_schema=False)


def _ipc_writer(file: io.RawIOBase, schema: Any, compression: Compression) -> Any:
    ipc = importlib.import_module("pyarrow.ipc")
    packed = None if compression == "none" else compression
    return ipc.new_file(file, schema, options=ipc.IpcWriteOptions(compression=packed))


class _Held(io.RawIOBase):
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def close(self) -> None:
        """Stay: who writes may close what it was given, and the parts are still to be taken."""

    def take(self) -> Iterator[bytes]:
        parts, self._parts = self._parts, []
        if parts:
            yield b"".join(parts)
