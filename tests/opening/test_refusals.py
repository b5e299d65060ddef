"""Newer formats; links, other kinds of files, other owners; the lock; and arguments that are no good."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3
import pytest

import tidal
from tests.opening.conftest import SCHEMA, checkpoints, content, open_small, segments
from tidal.checkpoint import read_checkpoint
from tidal.durable import OsFileSystem
from tidal.format import snapshot
from tidal.format.document import encode_document
from tidal.format.manifest import MANIFEST_NAME, decode_manifest
from tidal.materializer import Materializer

Refused = Callable[..., Any]


# ------------------------------------------------------------------------------------ newer formats


def as_newer_document(path: Path) -> None:
    body = json.loads(path.read_bytes())
    del body["blake3"]
    path.write_bytes(encode_document(body | {"format": 99}))


def newer_segment(path: Path) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, 8, 99, 99)
    data[96:128] = blake3.blake3(b"tidal log segment 1\0" + bytes(data[:96])).digest()
    path.write_bytes(data)


@pytest.mark.parametrize("which", ["store.json", "schema.json", "wal/manifest.json", "segment"])
def test_a_newer_format_is_refused_untouched(crashed: Path, refused: Refused, which: str) -> None:
    if which == "segment":
        newer_segment(segments(crashed)[-1])
    else:
        as_newer_document(crashed / which)
    assert "upgrade" in str(refused(crashed, tidal.FormatTooNew)) or which != "segment"


def test_a_newer_checkpoint_is_refused_untouched(
    crashed: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = read_checkpoint(OsFileSystem(), checkpoints(crashed)[-1])
    with monkeypatch.context() as newer:
        newer.setattr(snapshot, "VERSION", 9)
        newer.setattr(snapshot, "READER_VERSION_MIN", 9)
        _, parts = snapshot.encode_snapshot(
            seq=good.seq, store_id=good.store_id, epoch=good.epoch, log_hash=good.log_hash, meta=good.meta,
            sections=good.sections,
        )  # fmt: skip
        checkpoints(crashed)[-1].write_bytes(b"".join(parts))
    refused(crashed, tidal.FormatTooNew)


# ------------------------------------------------------------------------------------ not a file of ours


def part(store: Path, name: str) -> Path:
    return segments(store)[-1] if name == "segment" else store / name


FILES = ["store.json", "schema.json", "entities.sqlite", f"wal/{MANIFEST_NAME}", "segment"]


@pytest.mark.parametrize("name", [*FILES, "LOCK"])
@pytest.mark.parametrize("how", ["link", "second name", "fifo"])
def test_what_is_no_plain_file_is_refused(closed: Path, tmp_path: Path, name: str, how: str) -> None:
    path = part(closed, name)
    aside = tmp_path / "aside"
    if how == "link":
        path.rename(aside)
        path.symlink_to(aside)
    elif how == "second name":
        os.link(path, aside)
    else:
        path.unlink()
        os.mkfifo(path, 0o600)
    before = content(closed)
    with pytest.raises((tidal.CorruptStore, tidal.CorruptLog), match="refused"):
        tidal.open(closed)
    assert content(closed) == before


@pytest.mark.parametrize("name", ["wal", "checkpoints"])
def test_a_folder_that_is_a_link_is_refused(
    closed: Path, tmp_path: Path, refused: Refused, name: str
) -> None:
    (closed / name).rename(tmp_path / name)
    (closed / name).symlink_to(tmp_path / name)
    assert refused(closed, tidal.CorruptStore).path == closed / name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", [*FILES, "LOCK", "wal", "checkpoints", "."])
def test_what_belongs_to_another_user_is_refused(closed: Path, name: str) -> None:
    os.chown(part(closed, name), 12345, -1)
    before = content(closed)
    with pytest.raises(tidal.CorruptStore, match="belongs to user 12345"):
        tidal.open(closed)
    assert content(closed) == before
    with tidal.open(closed, read_only=True) as db:  # to look at it harms nobody
        assert db.last_seq == 500


def test_the_store_itself_may_be_reached_by_a_link(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(closed)
    with tidal.open(tmp_path / "name") as db:
        assert db.last_seq == 500


# ------------------------------------------------------------------------------------ the lock


def test_a_second_opening_in_this_process_is_told_so(closed: Path, tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(closed)
    with tidal.open(closed) as db:
        for path in (closed, tmp_path / "name"):
            with pytest.raises(tidal.StoreLocked, match="in this process"):
                tidal.open(path)
        assert db.signal("view", 1) == 501
    tidal.open(closed).close()


HOLDER = """
import sys, tidal
with tidal.open(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_told_so(closed: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(closed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"open\n"
        before = content(closed)
        with pytest.raises(tidal.StoreLocked, match="in another process"):
            tidal.open(closed)
        assert content(closed) == before
        holder.communicate()
    tidal.open(closed).close()


FORKS = """
import os, sys, tidal
path = sys.argv[1]
db = tidal.open(path)
read, write = os.pipe()
child = os.fork()
if not child:
    os.close(write)
    try:
        db.signal("view", 1)
    except tidal.StoreClosed:
        os.read(read, 1)  # lives on until the parent has opened the store again
        os._exit(0)
    os._exit(1)
os.close(read)
db.signal("view", 1)
db.close()
tidal.open(path).close()
os.write(write, b"x")
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_child_does_not_keep_the_lock(closed: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, str(closed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""}, {"path": b"bytes"}, {"path": 7}, {"path": "a\0b"}, {"sync": None}, {"sync": 5},
        {"path": "\ud800"}, {"path": "loop"}, {"sync": "daily"}, {"sync": "interval"}, {"sync": "os:5ms"},
        {"shards": 10**9}, {"shards": 0}, {"shards": "4"}, {"recovery": "salvage"}, {"recovery": None},
        {"read_only": "no"}, {"read_only": None}, {"archive": "no"}, {"archive": 1}, {"retain": "soon"},
        {"checkpoint_bytes": 0}, {"checkpoint_bytes": -1}, {"materializers": {"m": 3}},
        {"materializers": {"m": Materializer}}, {"materializers": {3: object()}}, {"limits": {"entities": 3}},
    ],
)  # fmt: skip
def test_a_value_that_an_option_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(tidal.TidalError) as caught:
        tidal.open(**({"path": "s", "schema": SCHEMA} | options))
    assert any(name in str(caught.value) for name in options)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize("options", [{"sync": "daily"}, {"recovery": "salvage"}, {"read_only": 1}])
def test_a_database_in_memory_refuses_the_same(options: dict[str, Any]) -> None:
    with pytest.raises(tidal.InvalidOption):
        tidal.open(schema=SCHEMA, **options)


def test_damage_is_refused_with_where_to_go_on(crashed: Path) -> None:
    (crashed / "wal" / MANIFEST_NAME).write_bytes(b"{}")
    with pytest.raises(tidal.CorruptLog) as caught:
        tidal.open(crashed)
    assert caught.value.__notes__ == [f"tidalctl verify {crashed} lists all that is damaged and what to do"]


def test_the_manifest_of_an_open_store_names_its_epoch(closed: Path) -> None:
    def manifest() -> Any:
        return decode_manifest((closed / "wal" / MANIFEST_NAME).read_bytes())

    before = manifest()
    assert before.clean and before.last_seq == 500
    for opening in (1, 2, 3):
        with open_small(closed) as db:
            assert not manifest().clean and db._disk is not None
            assert manifest().epoch == db._disk.identity.epoch == before.epoch + opening
        assert manifest().clean
