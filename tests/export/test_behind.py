"""Files are written by a thread while their rows are made: in order, with its errors, and it always ends."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from tidal.durable import Bytes, File, OsFileSystem
from tidal.errors import ExportCancelled, NoSpace
from tidal.export import Field, Table, output
from tidal.export.behind import AHEAD_MAX, Behind

ROWS = 100_000  # of a batch, seven bytes each
BATCHES = 8  # a chunk each, behind that of the names


def batches(count: int = BATCHES, error: BaseException | None = None) -> Iterator[Mapping[str, Any]]:
    for number in range(count):
        yield {"n": np.full(ROWS, 100_000 + number, np.int64)}
    if error is not None:
        raise error


def table(count: int = BATCHES, error: BaseException | None = None) -> Table:
    return Table([Field("n", "int64")], batches(count, error))


def exporting() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tidal-export")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    assert exporting() == []
    yield
    assert exporting() == []


class Watched(OsFileSystem):
    """Notes which threads append; fails from one append on."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.appends: list[str] = []
        self.fails_at = fails_at

    def create(self, path: Path) -> File:
        file = super().create(path)
        append = file.append

        def watched(parts: Sequence[Bytes]) -> int:
            self.appends.append(threading.current_thread().name)
            if self.fails_at is not None and len(self.appends) > self.fails_at:
                raise NoSpace(errno.ENOSPC, "write: No space left on device", str(path))
            return append(parts)

        file.append = watched  # type: ignore[method-assign]
        return file


def test_what_is_written_behind_is_what_comes_in_chunks(tmp_path: Path) -> None:
    fs = Watched()
    written = table().write(tmp_path / "out.csv", fs=fs)
    data = (tmp_path / "out.csv").read_bytes()
    assert data == b"".join(table().chunks("csv"))
    assert (written.blake3, written.bytes, written.rows) == (
        blake3(data).hexdigest(),
        len(data),
        ROWS * BATCHES,
    )
    assert {name.startswith("tidal-export") for name in fs.appends} == {True, False}


def test_a_small_file_needs_no_thread(tmp_path: Path) -> None:
    fs = Watched()
    table(1).write(tmp_path / "out.csv", fs=fs)
    assert set(fs.appends) == {threading.current_thread().name}


@pytest.mark.parametrize("fails_at", [0, 5, BATCHES])  # at once, behind, and with the last chunk
def test_an_error_of_the_file_reaches_the_caller(fails_at: int, tmp_path: Path) -> None:
    with pytest.raises(NoSpace):
        table().write(tmp_path / "out.csv", fs=Watched(fails_at))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("rows"), KeyboardInterrupt(), GeneratorExit()])
def test_an_error_of_the_rows_ends_the_thread(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        table(error=error).write(tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_cancelling_ends_the_thread(tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(ExportCancelled):
        table().write(tmp_path / "out.csv", progress=seen.append, cancelled=lambda: len(seen) > 5)
    assert list(tmp_path.iterdir()) == []


def test_without_a_thread_the_caller_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    fs = Watched()
    table().write(tmp_path / "out.csv", fs=fs)
    assert set(fs.appends) == {threading.current_thread().name}
    assert (tmp_path / "out.csv").read_bytes() == b"".join(table().chunks("csv"))


def test_few_chunks_wait() -> None:
    """While the first is worked on, the caller may put as many as may wait, and no more."""
    may_go_on, done = threading.Event(), []

    def work(chunk: bytes) -> None:
        may_go_on.wait()
        done.append(chunk)

    behind = Behind(work)
    chunks = [bytes([number]) for number in range(3 * AHEAD_MAX)]
    put: list[bytes] = []

    def put_all() -> None:
        for chunk in chunks:
            behind.put(chunk)
            put.append(chunk)

    try:
        caller = threading.Thread(target=put_all)
        caller.start()
        caller.join(0.2)
        assert len(put) <= AHEAD_MAX and done == []
        may_go_on.set()
        caller.join()
        behind.finish()
        assert done == chunks
    finally:
        may_go_on.set()
        behind.stop()


def test_after_stop_nothing_more_is_begun() -> None:
    begun, may_go_on = threading.Event(), threading.Event()
    done: list[bytes] = []

    def work(chunk: bytes) -> None:
        begun.set()
        may_go_on.wait()
        done.append(chunk)

    behind = Behind(work)
    behind.put(b"1")
    behind.put(b"2")
    begun.wait()
    stopping = threading.Thread(target=behind.stop)
    stopping.start()
    while not behind._pending[-1].cancelled():
        time.sleep(0.001)
    may_go_on.set()
    stopping.join()
    assert done == [b"1"]


# ------------------------------------------------------------------------------------ on to the disk


def test_a_long_file_goes_to_the_disk_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Dropping(OsFileSystem):
        def create(self, path: Path) -> File:
            file = super().create(path)
            monkeypatch.setattr(file, "drop_cache", lambda: sizes.append(file.size()))
            return file

    monkeypatch.setattr(output, "DISK_BYTES", 1 << 20)
    written = table().write(tmp_path / "out.csv", fs=Dropping())
    assert sizes == sorted(set(sizes)) and len(sizes) >= 3
    assert sizes[0] >= 1 << 20 and sizes[-1] <= written.bytes
