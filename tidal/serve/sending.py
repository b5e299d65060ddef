"""Files and streams sent chunk by chunk: what lies in memory is one chunk, however long the answer is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import Final, NamedTuple

import anyio.to_thread
from fastapi.responses import StreamingResponse

from tidal.durable import File
from tidal.errors import TidalError
from tidal.serve.guard import AnswerBroken
from tidal.serve.problems import Refused

CHUNK_BYTES: Final = 256 << 10

_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class Part(NamedTuple):
    """The bytes of a file from ``start`` to before ``stop``."""

    start: int
    stop: int


def asked_part(header: str | None, size: int) -> Part | None:
    """Return the part that a Range header asks for; None for all of the file.

    What is not understood, several ranges included, is ignored, as RFC 9110 allows; a range that begins
    behind the end is Refused.

    >>> asked_part("bytes=10-", 100), asked_part("bytes=-10", 100), asked_part("bytes=0-9,20-29", 100)
    (Part(start=10, stop=100), Part(start=90, stop=100), None)
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    first, last = match.groups()
    if first == "":
        part = Part(max(0, size - int(last)), size)
    else:
        part = Part(int(first), size if last == "" else min(size, int(last) + 1))
        if last != "" and int(last) < int(first):
            return None
    if part.start >= part.stop:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Refused(416, f"the file has {size} bytes; the range lies behind them", headers=headers)
    return part


def file_chunks(file: File, part: Part) -> Iterator[bytes]:
    """Yield a part of a file, and close the file."""
    try:
        place = part.start
        while place < part.stop:
            chunk = file.read_at(place, min(CHUNK_BYTES, part.stop - place))
            if not chunk:
                raise AnswerBroken("the file is shorter than it was")
            place += len(chunk)
            yield chunk
    finally:
        file.close()


def streamed(
    chunks: Iterator[bytes], media_type: str, headers: dict[str, str], status: int = 200
) -> StreamingResponse:
    """Return an answer that is made while it is sent, in threads; ``chunks`` is closed in any case.

    The first chunk is made now, so that what cannot be read at all is an error and no answer that breaks off.
    """
    first = next(chunks, b"")
    return StreamingResponse(
        _in_threads(chain([first], chunks), getattr(chunks, "close", lambda: None)),
        status,
        headers,
        media_type,
    )


async def _in_threads(chunks: Iterator[bytes], close: Callable[[], None]) -> AsyncIterator[bytes]:
    try:
        while (chunk := await anyio.to_thread.run_sync(_next, chunks)) is not None:
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):  # the client may be gone, and files are open
            await anyio.to_thread.run_sync(close)


def _next(chunks: Iterator[bytes]) -> bytes | None:
    try:
        return next(chunks, None)
    except TidalError as error:
        raise AnswerBroken(f"{type(error).__name__} in the midst of an answer") from error
