"""docs/ops/backup.md, followed: its commands are run, beside a writer, and what they made is opened."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from faultkit.events import SCHEMA, columns, expected, same
from faultkit.store import open_store

import tidal
from tidal.cli.ctl.main import main as tidalctl
from tidal.history import read_history

PAGE = (Path(__file__).parents[2] / "docs" / "ops" / "backup.md").read_text(encoding="utf-8")


def block(heading: str, number: int = 0) -> str:
    """A shell block of a section."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.S)[number]


# Between two commands the writer goes on: until there is a newer checkpoint, so that log was archived, too.
GO_ON = """
newest() { ls feed.tidal/checkpoints | grep -v tmp | tail -1; }
go_on() { for _ in 1 2; do was=$(newest); until test "$(newest)" != "$was"; do sleep 0.01; done; done; }
"""


def follow(code: str, folder: Path, *, going_on: bool = False) -> None:
    """Run shell commands in a folder; tidalctl is this one's, and must find no damage."""
    lines = code.replace("\\\n", "").replace("python3 ", f"{shlex.quote(sys.executable)} ").splitlines()
    script = "\n".join(line for line in lines if not line.startswith("tidalctl "))
    if going_on:
        script = GO_ON + script.replace("\n", "\ngo_on\n")
    command = ["bash", "-euo", "pipefail", "-c", script]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for line in code.splitlines():
        if line.startswith("tidalctl "):
            command, path, *options = shlex.split(line)[1:]
            assert tidalctl([command, str(folder / path), *options]) in (
                (0, 5) if command == "doctor" else (0,)
            )


def events_of(store: Path) -> int:
    """How many events a store holds; each of them is the one that was written."""
    with tidal.open(store) as db:
        last = db.last_seq
        assert db._disk is not None
        disk = db._disk
        assert db.recovery is not None
        assert not (db.recovery.missing or db.recovery.damaged_checkpoints)
        assert sum(it["events"] for it in db.stats()["signals"].values()) == last
        assert db.items.get("item-1") == {"title": "one"}
    first = 1
    for seq, batch in read_history(disk.fs, disk.paths, identity=disk.identity, after_seq=0, until_seq=last):
        assert seq == first and same(batch, first)
        first += len(batch)
    assert first == last + 1
    return last


def test_a_closed_store(tmp_path: Path) -> None:
    with open_store(tmp_path / "feed.tidal") as db:
        db.items.put("item-1", {"title": "one"})
        for _ in range(30):
            db.ingest(**columns(db.last_seq, 50))
    follow(block("A copy of a store that nobody writes"), tmp_path)
    follow(block("Restore"), tmp_path)
    assert events_of(tmp_path / "restored.tidal") == 1500


def test_a_store_that_is_written_to_all_the_while(tmp_path: Path) -> None:
    """Segments of 4 KiB and a checkpoint for each four of them: files come and go while they are copied."""
    store = tmp_path / "feed.tidal"
    db = open_store(store, checkpoint_bytes=1 << 14, sync="os")
    db.items.put("item-1", {"title": "one"})
    ended, wrong = threading.Event(), []

    def pour() -> None:
        try:
            while not ended.is_set():
                db.ingest(**columns(db.last_seq, 200))
                time.sleep(0.005)  # else the log would never stand still for the time of a copy
        except BaseException as error:
            wrong.append(error)

    writer = threading.Thread(target=pour)
    writer.start()
    try:
        while db.stats()["checkpoint_seq"] == 0 and not wrong:
            time.sleep(0.01)
        acknowledged = db.flush()
        follow(block("A copy while it is written to"), tmp_path, going_on=True)
        after = db.last_seq
    finally:
        ended.set()
        writer.join()
        db.close()
    assert not wrong and after > acknowledged
    follow(block("A copy while it is written to", 1), tmp_path)
    follow(block("Restore"), tmp_path)
    assert acknowledged <= events_of(tmp_path / "restored.tidal") <= after + 200


def test_the_events_are_told_apart() -> None:
    assert len(SCHEMA.names) == 2
    assert not np.array_equal(expected(0, 50).timestamp, expected(1, 50).timestamp)
