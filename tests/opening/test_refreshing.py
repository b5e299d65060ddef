"""A database that only reads: what it sees of a log that another process writes; it writes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tidal
from tests.opening.conftest import GROWN, SCHEMA, content, digest_of, fill, open_small, reader_of, segments
from tidal.durable import OsFileSystem
from tidal.opening import refreshing


def test_a_closed_store_has_nothing_new(closed: Path) -> None:
    before = content(closed)
    with reader_of(closed) as reader:
        assert [reader.refresh() for _ in range(3)] == [0, 0, 0]
        assert reader.last_seq == reader.durable_seq == 500
    assert content(closed) == before


def test_who_writes_knows_all(closed: Path) -> None:
    with open_small(closed) as db:
        assert db.refresh() == 0
    with tidal.open(schema=SCHEMA) as db:
        assert db.refresh() == 0


def test_what_the_writer_was_promised_is_seen_at_once(tmp_path: Path) -> None:
    with open_small(tmp_path / "s") as db, reader_of(tmp_path / "s") as reader:
        for events in range(100, 1001, 100):
            fill(db)
            assert reader.refresh() == 100
            assert reader._ledger.state_digest() == digest_of(events)
            if events % 300 == 0:
                db.checkpoint()
        db.ingest(signal="view", entity_id=["a", "b"])
        assert reader.refresh() == 2 and reader.key_of(tidal.entities.entity_key_id("a")) == "a"


def test_what_is_seen_was_made_durable_first(crashed: Path) -> None:
    """The writer is gone, and nothing says whether its last batch was synced: the reader syncs it."""
    synced: list[str] = []

    class Recording(OsFileSystem):
        def open_read(self, path: Path):
            file = super().open_read(path)
            sync, drop = file.sync, file.drop_cache
            file.sync = lambda: (synced.append(f"sync {path.name}"), sync())[1]
            file.drop_cache = lambda: (synced.append(f"drop {path.name}"), drop())[1]
            return file

    before = content(crashed)
    with reader_of(crashed, file_system=Recording()) as reader:
        assert reader._ledger.state_digest() == digest_of(500)
    name = segments(crashed)[-1].name
    assert synced == [f"sync {name}", f"drop {name}"]
    assert content(crashed) == before


def test_an_end_that_cannot_be_synced_is_an_error_unless_nobody_can_write(crashed: Path) -> None:
    class Failing(OsFileSystem):
        errno = 5

        def open_read(self, path: Path):
            file = super().open_read(path)
            file.sync = self.fail
            return file

        def fail(self) -> None:
            raise tidal.StorageError(self.errno, "fdatasync: fault")

    fs = Failing()
    with pytest.raises(tidal.StorageError, match="fault"):
        reader_of(crashed, file_system=fs)
    fs.errno = 30  # EROFS
    with reader_of(crashed, file_system=fs) as reader:
        assert reader.last_seq == 500


def test_an_unfinished_end_is_left_alone_and_told(crashed: Path) -> None:
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes()[:-9])
    before = content(crashed)
    with reader_of(crashed) as reader:
        assert reader._ledger.state_digest() == digest_of(400)
        assert reader.recovery is not None and reader.recovery.torn is not None
        assert reader.recovery.torn.first_dropped_seq == 401 and reader.recovery.quarantined == ()
    assert content(crashed) == before


def test_a_reader_that_fell_behind_starts_over(tmp_path: Path) -> None:
    with open_small(tmp_path / "s") as db:
        fill(db)
        reader = reader_of(tmp_path / "s")
        for _ in range(3):
            fill(db)
            db.items.put("new", {"n": db.last_seq})
            db.checkpoint()
        db._log.forget(300)
        assert reader.refresh() == 300
        assert reader._ledger.state_digest() == digest_of(400)
        assert reader.items.get("new") == {"n": 400}
        fill(db)
        assert reader.refresh() == 100
        reader.close()


def test_a_grown_schema_is_taken_over(closed: Path) -> None:
    with reader_of(closed) as reader:
        with open_small(closed, schema=GROWN) as db:
            db.signal("like", 3)
            assert reader.refresh() == 1
            assert reader.count("like", 3, "all") == 1
        assert reader.refresh() == 0


class Counting:
    """A materializer: events by entity."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def on_events(self, batch: tidal.EventBatch) -> None:
        self.counts.update(batch.entity_id.tolist())

    def checkpoint(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        raise AssertionError("nothing was saved")


def test_materializers_see_each_event_once(closed: Path) -> None:
    counting = Counting()
    with reader_of(closed, materializers={"counts": counting}) as reader:
        assert counting.counts.total() == 500
        with open_small(closed) as db:
            fill(db)
        assert reader.refresh() == 100 and counting.counts.total() == 600
        with open_small(closed, schema=GROWN) as db:
            db.signal("like", 3)
        assert reader.refresh() == 1 and counting.counts.total() == 601


@pytest.mark.parametrize("materialized", [False, True])
def test_a_schema_that_grows_during_a_refresh_is_taken_over(
    closed: Path, monkeypatch: pytest.MonkeyPatch, materialized: bool
) -> None:
    read_manifest, counting = refreshing.read_manifest, Counting()

    def read_after_growing(*arguments: Any) -> Any:
        monkeypatch.setattr(refreshing, "read_manifest", read_manifest)
        with open_small(closed, schema=GROWN) as db:
            db.signal("like", 3)
        return read_manifest(*arguments)

    with reader_of(closed, materializers={"counts": counting} if materialized else {}) as reader:
        with open_small(closed) as db:
            fill(db)
        monkeypatch.setattr(refreshing, "read_manifest", read_after_growing)
        assert reader.refresh() == 101 and reader.count("like", 3, "all") == 1
        assert reader.refresh() == 0
    assert counting.counts.total() == (601 if materialized else 0)


def test_a_log_that_goes_back_is_refused(closed: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(closed, tmp_path / "before")
    with open_small(closed) as db:
        fill(db)
    with reader_of(closed) as reader:
        shutil.rmtree(closed)
        shutil.copytree(tmp_path / "before", closed)
        with pytest.raises(tidal.CorruptLog, match="ended at 600"):
            reader.refresh()


# ------------------------------------------------------------------------------------ beside another process


WRITER = """
import sys
from pathlib import Path
from tests.opening.conftest import fill, open_small
store, rounds = Path(sys.argv[1]), int(sys.argv[2])
for round in range(rounds):
    with open_small(store) as db:
        for _ in range(6):
            fill(db)
            print(db.last_seq, flush=True)
        db.checkpoint()
        if round % 3 == 2:
            db._log.forget(db.last_seq - 300)
"""


@contextmanager
def writing(store: Path, rounds: int) -> Iterator[subprocess.Popen[str]]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store), str(rounds)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with writer:
        try:
            yield writer
        finally:
            writer.kill()


def test_beside_a_process_that_writes_seals_closes_opens_checkpoints_and_forgets(tmp_path: Path) -> None:
    store = tmp_path / "s"
    open_small(store).close()
    promised = 0
    with writing(store, 12) as writer, reader_of(store) as reader:
        assert writer.stdout is not None
        for line in writer.stdout:
            promised = int(line)
            reader.refresh()
            assert reader.last_seq >= promised and reader.last_seq % 100 == 0
            if promised % 700 == 0:
                with reader_of(store) as another:
                    assert another.last_seq >= promised
        assert writer.wait() == 0
        reader.refresh()
        assert promised == reader.last_seq == 7200
        assert reader._ledger.state_digest() == digest_of(7200)
