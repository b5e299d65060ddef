"""sync="buffered:...": single events that wait in memory, as the database and its next opening see them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from failing_step import fail_a_step

import tidal
from tidal.durable import OsFileSystem
from tidal.schema import EventBatch
from tidal.testing import ManualClock
from tidal.wal import read_batches
from tidal.wal.buffer import BufferedLogWriter

NOW = 1_700_000_000_000_000_000
BY_HAND = "buffered:1h"  # nothing is drained by time

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()


def opened(path: Path, **options: Any) -> tidal.TidalDb:
    return tidal.open(path, **{"schema": SCHEMA, "clock": ManualClock(NOW), "sync": BY_HAND} | options)


def waiting(db: tidal.TidalDb) -> int:
    assert isinstance(db._log, BufferedLogWriter)
    return db._log.waiting


def logged(path: Path) -> list[int]:
    return [int(i) for _, batch in read_batches(OsFileSystem(), path / "wal") for i in batch.entity_id]


def test_a_signal_counts_at_once_and_is_logged_later(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as db:
        assert [db.signal("view", 7), db.signal("like", 8, 2.0)] == [1, 2]
        assert (db.last_seq, db.durable_seq, waiting(db)) == (2, 0, 2)
        assert (db.count("view", 7, "1h"), db.score("like", 8)) == (1, 2.0)
        assert logged(tmp_path / "s") == []
        assert db.flush() == db.durable_seq == 2
        assert logged(tmp_path / "s") == [7, 8]


def test_a_table_comes_after_the_signals_before_it(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as db:
        db.signal("view", 1)
        assert db.ingest(signal="view", entity_id=[2, 3]).first_seq == 2
        assert waiting(db) == 0  # it does not wait itself
        assert db.signal("view", 4) == 4
    assert logged(tmp_path / "s") == [1, 2, 3, 4]


def test_a_new_key_is_logged_with_its_event(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as db:
        db.signal("view", 1)
        assert db.signal("view", "sku") == 2
        assert waiting(db) == 0
        assert db.signal("view", "sku") == 3
        assert waiting(db) == 1
    with opened(tmp_path / "s") as db:
        assert db.count("view", "sku", "all") == 2
        assert db.key_of(db.items.id_of("sku")) == "sku"


class Listener:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_events(self, batch: EventBatch) -> None:
        self.seen += batch.entity_id.tolist()

    def checkpoint(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None: ...


@pytest.mark.parametrize(
    "options",
    [{"dedup": "event_id"}, {"limits": tidal.Limits(entities=10)}, {"materializers": {"heard": Listener()}}],
    ids=["dedup", "limits", "materializers"],
)
def test_who_judges_events_or_follows_the_log_has_them_logged_one_by_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with opened(tmp_path / "s", **options) as db:
        assert db.signal("view", 1, event_id=5) == 1
        assert waiting(db) == 0
        assert logged(tmp_path / "s") == [1]


def test_a_checkpoint_is_never_ahead_of_the_log(tmp_path: Path) -> None:
    db = opened(tmp_path / "s", sync="buffered:1ms", checkpoint_bytes=2000)
    stop = threading.Event()

    def write(entity: int) -> None:
        while not stop.is_set():
            db.signal("view", entity)

    threads = [threading.Thread(target=write, args=(entity,)) for entity in (1, 2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        seq = db.checkpoint()
        assert db.durable_seq >= seq
    stop.set()
    for thread in threads:
        thread.join()
    counts = [db.count("view", entity, "all") for entity in (1, 2)]
    assert sum(counts) == db.last_seq
    db._log.close()  # as a kill after the last checkpoint: what was accepted since is in the log
    db._recorder.failure = RuntimeError("no checkpoint at close")
    db.close()
    with opened(tmp_path / "s") as db:
        assert db.recovery is not None
        assert db.recovery.checkpoint_seq > 0
        assert [db.count("view", entity, "all") for entity in (1, 2)] == counts


def test_signals_alone_make_a_checkpoint_due(tmp_path: Path) -> None:
    with opened(tmp_path / "s", checkpoint_bytes=200) as db:
        for entity in range(3000):
            db.signal("view", entity)
        assert db.stats()["checkpoint_seq"] == 0
        db.flush()  # now the log has grown, and the next signal finds it out
        db.signal("view", 1)
        with db._upkeep._checkpointing:  # until the one that writes it is done
            assert db.stats()["checkpoint_seq"] == 3000


@pytest.mark.parametrize(
    ("step", "error", "goes_on"),
    [
        ("_log.put", tidal.NoSpace(errno.ENOSPC, "write"), True),
        ("_log.put", KeyboardInterrupt(), False),
        ("_ledger.add", KeyboardInterrupt(), False),
        ("_ledger.add", MemoryError(), False),
    ],
)
def test_a_store_goes_on_only_if_log_and_state_surely_agree(
    tmp_path: Path, step: str, error: BaseException, goes_on: bool
) -> None:
    db = opened(tmp_path / "s")
    db.signal("view", 1)
    fail_a_step(db, step, error)
    if goes_on:
        assert db.signal("view", 1) == 2
    else:
        with pytest.raises(tidal.StorePoisoned, match="open it again"):
            db.signal("view", 1)
    db.close()
    with opened(tmp_path / "s") as db:
        assert db.count("view", 1, "all") == db.last_seq


def test_too_many_unsynced_bytes_hold_signals_back(tmp_path: Path) -> None:
    limits = tidal.Limits(unsynced_bytes=1, wait="1s")
    with opened(tmp_path / "s", limits=limits) as db:
        db.signal("view", 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(db._log, "sync_within", lambda seconds: False)  # a disk that does not answer
            db._log._drain()
            patch.setattr(type(db._log), "unsynced_bytes", 2)
            for _ in range(2):  # not only the first time
                with pytest.raises(tidal.LimitExceeded, match="unsynced_bytes"):
                    db.signal("view", 1)
            assert db.count("view", 1, "all") == 1
        assert db.signal("view", 1) == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_may_not_signal(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as db:
        db.signal("view", 1)
        child = os.fork()
        if child == 0:
            try:
                db.signal("view", 2)
            except tidal.StoreClosed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert db.signal("view", 3) == 2
    assert logged(tmp_path / "s") == [1, 3]


CHILD = """
import sys, tidal
schema = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()
db = tidal.open(sys.argv[1], schema=schema, sync="buffered:1ms", checkpoint_bytes=3000)
while True:
    seq = db.signal("view", db.last_seq % 5)
    if seq % 1000 == 0:
        sys.stdout.write(f"{db.flush()}\\n")
        sys.stdout.flush()
"""


def test_a_killed_process_loses_the_end_and_nothing_else(tmp_path: Path) -> None:
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "s")],
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert child.stdout is not None
        flushed = [int(child.stdout.readline()) for _ in range(3)][-1]
        child.kill()
        child.communicate()
        with opened(tmp_path / "s", clock=ManualClock(2 * NOW)) as db:
            assert db.last_seq >= flushed
            counts = [db.count("view", entity, "all") for entity in range(5)]
            assert sum(counts) == db.last_seq
            assert logged(tmp_path / "s") == [seq % 5 for seq in range(db.last_seq)]
