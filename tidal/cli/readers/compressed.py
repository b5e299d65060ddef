"""Plain, gzip and zstd files as streams of bytes that know how far they were read."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from tidal.errors import UnreadableInput

COMPRESSIONS: Final = (".gz", ".zst")
BUFFER_BYTES: Final = 1 << 20


class CountedFile:
    """An open file: ``stream`` gives unpacked bytes, ``share`` how much of the file was read."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("rb")
        self._size = os.fstat(self._raw.fileno()).st_size
        self._text: IO[str] | None = None
        self.stream: IO[bytes]
        match path.suffix.lower():
            case ".gz":
                self.stream = io.BufferedReader(gzip.GzipFile(fileobj=self._raw), BUFFER_BYTES)
            case ".zst":
                unpacked: Any = zstandard.ZstdDecompressor().stream_reader(self._raw, read_across_frames=True)
                self.stream = io.BufferedReader(unpacked, BUFFER_BYTES)
            case _:
                self.stream = self._raw

    def text(self) -> IO[str]:
        """Return the stream as text: UTF-8, without a byte-order mark, bad bytes as lone surrogates."""
        self._text = io.TextIOWrapper(self.stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        return self._text

    def share(self) -> float:
        return 1.0 if self._raw.closed or not self._size else self._raw.tell() / self._size

    def close(self) -> None:
        if self._text is not None:
            self._text.close()
        self.stream.close()
        self._raw.close()


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what the unpackers and decoders raise for damaged bytes into UnreadableInput."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path}: not UTF-8 text: {error.reason}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise UnreadableInput(f"{path}: the compressed data is damaged or cut off: {error}") from error
