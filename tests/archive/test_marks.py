"""Named marks: durable, hashed, never lost to one another."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tidal.archive.marks import Marks
from tidal.durable import OsFileSystem
from tidal.errors import CorruptArchive, FormatTooNew, InvalidMark, ReadOnly
from tidal.format.document import encode_document

STORE_ID = bytes(range(16))


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(OsFileSystem(), tmp_path, STORE_ID)


def test_marks_are_set_moved_and_removed(marks: Marks, tmp_path: Path) -> None:
    assert (marks.all(), marks.lowest(), marks.get("a")) == ({}, None, None)
    marks.set("a", 7)
    marks.set("b-2.x_", 2**64 - 1)
    marks.set("a", 5)
    again = Marks(OsFileSystem(), tmp_path, STORE_ID)
    assert again.all() == {"a": 5, "b-2.x_": 2**64 - 1}
    assert (again.lowest(), again.get("a")) == (("a", 5), 5)
    marks.remove("a")
    marks.remove("never-there")
    assert again.lowest() == ("b-2.x_", 2**64 - 1)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "ä", "a" * 65, "a\n", 1, None, []])
def test_names_that_are_refused(marks: Marks, name: object) -> None:
    for call in (lambda: marks.set(name, 1), lambda: marks.get(name), lambda: marks.remove(name)):
        with pytest.raises(InvalidMark, match="a name is"):
            call()
    assert marks.all() == {}


@pytest.mark.parametrize("seq", [-1, 2**64, 1.0, True, None])
def test_sequences_that_are_refused(marks: Marks, seq: object) -> None:
    with pytest.raises(InvalidMark, match="a sequence is"):
        marks.set("a", seq)


def test_every_bit_of_the_file_is_checked(marks: Marks, tmp_path: Path) -> None:
    marks.set("a", 7)
    path = tmp_path / "marks.json"
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(CorruptArchive, match=r"marks\.json"):
                marks.all()
            with pytest.raises(CorruptArchive):
                marks.set("b", 1)  # what others hold is not known


def test_marks_of_another_store_are_refused(marks: Marks, tmp_path: Path) -> None:
    marks.set("a", 7)
    with pytest.raises(CorruptArchive, match="the marks are of store"):
        Marks(OsFileSystem(), tmp_path, bytes(16)).all()


@pytest.mark.parametrize("content", [[], {"-": 1}, {"a": -1}, {"a": "1"}])
def test_content_that_is_never_written_is_refused(marks: Marks, tmp_path: Path, content: object) -> None:
    body = {"format": 1, "store_id": STORE_ID.hex(), "marks": content}
    (tmp_path / "marks.json").write_bytes(encode_document(body))
    with pytest.raises(CorruptArchive):
        marks.all()


def test_a_newer_format_is_told_from_damage(marks: Marks, tmp_path: Path) -> None:
    (tmp_path / "marks.json").write_bytes(encode_document({"format": 2}))
    with pytest.raises(FormatTooNew, match=r"marks\.json"):
        marks.all()


def test_a_reader_changes_nothing(marks: Marks, tmp_path: Path) -> None:
    marks.set("a", 7)

    def refuse() -> None:
        raise ReadOnly("read only")

    reader = Marks(OsFileSystem(), tmp_path, STORE_ID, refuse)
    assert reader.get("a") == 7
    for change in (lambda: reader.set("a", 8), lambda: reader.remove("a")):
        with pytest.raises(ReadOnly):
            change()
    assert marks.all() == {"a": 7}


def test_threads_do_not_lose_each_other_s_marks(marks: Marks) -> None:
    def work(name: str) -> None:
        for seq in range(20):
            marks.set(name, seq)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert marks.all() == {f"t{number}": 19 for number in range(4)}
