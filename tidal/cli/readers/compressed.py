"""Plain, gzip and zstd files as streams of bytes that know how far they were read."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import zstandard

from tidal.errors import UnreadableInput

COMPRESSIONS: Final = (".gz", ".zst")
BUFFER_BYTES: Final = 1 << 20
ZSTD_INPUT_BYTES: Final = 1 << 12  # unpacked at a time; the densest of blocks make 128 MiB of it


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
                self.stream = io.BufferedReader(_ZstdStream(self._raw), BUFFER_BYTES)
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


class _ZstdStream(io.RawIOBase):
    """Frames of zstd, unpacked. Raises EOFError where one is cut off; zstandard's own reader just ends."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame: Any = None  # the frame that has begun and not ended
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._packed.read(ZSTD_INPUT_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("the last frame has no end")
                return 0
            frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._output = memoryview(frame.decompress(self._input))
            self._input, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        size = min(len(buffer), len(self._output))
        cast("memoryview[int]", buffer)[:size] = self._output[:size]
        self._output = self._output[size:]
        return size


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what the unpackers and decoders raise for damaged bytes into UnreadableInput."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path}: not UTF-8 text: {error.reason}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise UnreadableInput(f"{path}: the compressed data is damaged or cut off: {error}") from error
