"""Ranges, and streams that hold one chunk at a time and are closed in any case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.durable import OsFileSystem
from tidal.errors import CorruptLog
from tidal.serve.guard import AnswerBroken
from tidal.serve.problems import Refused
from tidal.serve.sending import CHUNK_BYTES, Part, asked_part, file_chunks, streamed

CONTENT = bytes(range(100))


@given(st.one_of(st.none(), st.integers(0, 120)), st.one_of(st.none(), st.integers(0, 120)))
def test_a_part_is_what_rfc_9110_says(first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None and last is None:
        expected: bytes | None = CONTENT
    elif first is None:
        assert last is not None
        expected = CONTENT[-last:] if last else None
    elif last is not None and last < first:
        expected = CONTENT  # no range: ignored
    else:
        expected = CONTENT[first : None if last is None else last + 1] or None
    if expected is None:
        with pytest.raises(Refused) as refused:
            asked_part(header, len(CONTENT))
        assert refused.value.status == 416 and refused.value.headers == {"Content-Range": "bytes */100"}
    else:
        part = asked_part(header, len(CONTENT)) or Part(0, len(CONTENT))
        assert CONTENT[part.start : part.stop] == expected


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=a-b", "items=0-5", "bytes=0-5,7-9", "bytes=--5",
                                    f"bytes=0-{'9' * 30}"])  # fmt: skip
def test_what_is_not_understood_is_ignored(header: str | None) -> None:
    assert asked_part(header, 100) is None


def test_a_file_is_read_chunk_by_chunk_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * CHUNK_BYTES))
    file = OsFileSystem().open_read(path)
    chunks = list(file_chunks(file, Part(10, 2 * CHUNK_BYTES + 20)))
    assert list(map(len, chunks)) == [CHUNK_BYTES, CHUNK_BYTES, 10]
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.size()


def test_a_file_that_became_shorter_breaks_the_answer_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with pytest.raises(AnswerBroken, match="shorter"):
        list(file_chunks(OsFileSystem().open_read(path), Part(0, 6)))


class Counted:
    """Chunks that say how many were made, and whether they were closed."""

    def __init__(self, error: Exception | None = None, chunks: int = 1000) -> None:
        self.made, self.closed, self.error, self.chunks = 0, False, error, chunks

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.made < self.chunks:
                if self.error and self.made == 3:
                    raise self.error
                self.made += 1
                yield b"x"
        finally:
            self.closed = True


def test_chunks_are_made_as_they_are_taken() -> None:
    async def takes_five() -> None:
        body = streamed(chunks, "text/plain", {}).body_iterator
        for _ in range(5):
            await anext(body)  # type: ignore[arg-type]
        assert counted.made == 5
        await body.aclose()  # type: ignore[attr-defined]

    counted = Counted()
    chunks = iter(counted)  # held here, so that nothing but the service closes it
    anyio.run(takes_five)
    assert counted.closed, "the client went away, and a file stayed open"


def test_an_error_before_the_first_chunk_is_an_error_of_the_request() -> None:
    def fails() -> Iterator[bytes]:
        raise CorruptLog("/secret", 0, "bad")
        yield b""

    with pytest.raises(CorruptLog):
        streamed(fails(), "text/plain", {})


def test_an_error_after_it_breaks_the_answer_off_and_names_no_file() -> None:
    async def takes_all() -> None:
        async for _ in streamed(iter(counted), "text/plain", {}).body_iterator:
            pass

    counted = Counted(CorruptLog("/secret", 0, "bad"))
    with pytest.raises(AnswerBroken) as broken:
        anyio.run(takes_all)
    assert counted.closed and not re.search("secret", str(broken.value))


def test_nothing_is_an_answer_too() -> None:
    async def all_of_it() -> bytes:
        body = streamed(iter(()), "text/plain", {}).body_iterator
        return b"".join([bytes(chunk) async for chunk in body])  # type: ignore[arg-type]

    assert anyio.run(all_of_it) == b""
