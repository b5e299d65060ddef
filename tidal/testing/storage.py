"""What every storage engine must do, as tests: subclass StorageEngineTests and say how to open yours.

::

    class TestMyEngine(StorageEngineTests):
        persistent = True

        def open_engine(self, tmp_path: Path) -> StorageEngine:
            return MyEngine(tmp_path / "data")
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidal.errors import InvalidKey, StoreClosed
from tidal.storage.engine import StorageEngine
from tidal.storage.keys import KEYSPACES

ITEMS, USERS, CREATORS = KEYSPACES.values()

# Ends of the byte range, and pairs of which one is the prefix of the other.
AWKWARD_KEYS = [
    b"",
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a\xff",
    b"a\xff\xff",
    b"b",
    b"\xfe\xff",
    b"\xff",
    b"\xff\xff",
]


class StorageEngineTests:
    """Tests of the StorageEngine protocol. ``open_engine`` opens the same data for the same folder."""

    persistent = False
    """Whether what was written is there after the engine was closed and opened again."""

    def open_engine(self, tmp_path: Path) -> StorageEngine:
        raise NotImplementedError("return the engine under test, opened in this folder")

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[StorageEngine]:
        engine = self.open_engine(tmp_path)
        yield engine
        engine.close()

    # ------------------------------------------------------------------ get, put, delete

    def test_an_absent_key_is_none(self, engine: StorageEngine) -> None:
        assert engine.get(ITEMS, b"absent") is None

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    def test_any_bytes_are_a_key(self, engine: StorageEngine, key: bytes) -> None:
        engine.put(ITEMS, key, b"value")
        assert engine.get(ITEMS, key) == b"value"
        assert list(engine.scan(ITEMS)) == [(key, b"value")]

    @pytest.mark.parametrize("value", [b"", b"\0", bytes(range(256)), bytes(1 << 20)], ids=len)
    def test_any_bytes_are_a_value(self, engine: StorageEngine, value: bytes) -> None:
        engine.put(ITEMS, b"key", value)
        assert engine.get(ITEMS, b"key") == value

    def test_put_replaces(self, engine: StorageEngine) -> None:
        engine.put(ITEMS, b"key", b"old")
        engine.put(ITEMS, b"key", b"new")
        assert list(engine.scan(ITEMS)) == [(b"key", b"new")]

    def test_delete_removes_one_key(self, engine: StorageEngine) -> None:
        engine.put(ITEMS, b"a", b"1")
        engine.put(ITEMS, b"ab", b"2")
        engine.delete(ITEMS, b"a")
        assert engine.get(ITEMS, b"a") is None
        assert list(engine.scan(ITEMS)) == [(b"ab", b"2")]

    def test_deleting_an_absent_key_is_fine(self, engine: StorageEngine) -> None:
        engine.delete(ITEMS, b"absent")
        assert list(engine.scan(ITEMS)) == []

    def test_keyspaces_are_apart(self, engine: StorageEngine) -> None:
        for keyspace in (ITEMS, USERS, CREATORS):
            engine.put(keyspace, b"key", keyspace.encode())
        engine.delete(USERS, b"key")
        assert [engine.get(keyspace, b"key") for keyspace in (ITEMS, USERS, CREATORS)] == [
            b"items",
            None,
            b"creators",
        ]

    # ------------------------------------------------------------------ scan

    def test_scan_is_in_byte_order(self, engine: StorageEngine) -> None:
        for key in reversed(AWKWARD_KEYS):
            engine.put(ITEMS, key, b"<" + key)
        assert list(engine.scan(ITEMS)) == [(key, b"<" + key) for key in sorted(AWKWARD_KEYS)]

    @pytest.mark.parametrize("prefix", [*AWKWARD_KEYS, b"a\xfe", b"c", b"\xfe"])
    def test_scan_yields_what_has_the_prefix(self, engine: StorageEngine, prefix: bytes) -> None:
        for key in AWKWARD_KEYS:
            engine.put(ITEMS, key, b"")
        expected = [key for key in sorted(AWKWARD_KEYS) if key.startswith(prefix)]
        assert [key for key, _ in engine.scan(ITEMS, prefix)] == expected

    @pytest.mark.parametrize("prefix", [b"", b"a", b"\xff"])
    @pytest.mark.parametrize("start", [*AWKWARD_KEYS, b"a\x01", b"\xff\xff\xff"])
    def test_scan_begins_at_start(self, engine: StorageEngine, prefix: bytes, start: bytes) -> None:
        for key in AWKWARD_KEYS:
            engine.put(ITEMS, key, b"")
        expected = [key for key in sorted(AWKWARD_KEYS) if key.startswith(prefix) and key >= start]
        assert [key for key, _ in engine.scan(ITEMS, prefix, start=start)] == expected

    def test_scan_is_a_snapshot(self, engine: StorageEngine) -> None:
        for key in (b"a", b"b", b"c"):
            engine.put(ITEMS, key, b"old")
        pairs = engine.scan(ITEMS)
        seen = [next(pairs)]
        engine.put(ITEMS, b"b", b"new")
        engine.delete(ITEMS, b"c")
        engine.put(ITEMS, b"d", b"new")
        assert [*seen, *pairs] == [(b"a", b"old"), (b"b", b"old"), (b"c", b"old")]
        assert list(engine.scan(ITEMS)) == [(b"a", b"old"), (b"b", b"new"), (b"d", b"new")]

    def test_scans_do_not_disturb_each_other(self, engine: StorageEngine) -> None:
        for key in (b"a", b"b"):
            engine.put(ITEMS, key, key)
        first, second = engine.scan(ITEMS), engine.scan(ITEMS)
        assert [next(first), next(second), next(second), next(first)] == [
            (b"a", b"a"),
            (b"a", b"a"),
            (b"b", b"b"),
            (b"b", b"b"),
        ]

    def test_a_scan_may_be_left_early(self, engine: StorageEngine) -> None:
        engine.put(ITEMS, b"a", b"1")
        engine.put(ITEMS, b"b", b"2")
        for _ in engine.scan(ITEMS):
            break
        engine.put(ITEMS, b"a", b"3")
        assert list(engine.scan(ITEMS)) == [(b"a", b"3"), (b"b", b"2")]

    # ------------------------------------------------------------------ batch

    def test_a_batch_covers_all_keyspaces(self, engine: StorageEngine) -> None:
        engine.put(CREATORS, b"gone", b"1")
        with engine.batch() as batch:
            batch.put(ITEMS, b"i", b"1")
            batch.put(USERS, b"u", b"2")
            batch.delete(CREATORS, b"gone")
            assert engine.get(ITEMS, b"i") is None
        assert (engine.get(ITEMS, b"i"), engine.get(USERS, b"u"), engine.get(CREATORS, b"gone")) == (
            b"1",
            b"2",
            None,
        )

    def test_a_batch_that_raises_changes_nothing(self, engine: StorageEngine) -> None:
        engine.put(ITEMS, b"kept", b"1")
        with pytest.raises(ZeroDivisionError), engine.batch() as batch:
            batch.put(USERS, b"u", b"2")
            batch.delete(ITEMS, b"kept")
            raise ZeroDivisionError
        assert list(engine.scan(ITEMS)) == [(b"kept", b"1")]
        assert list(engine.scan(USERS)) == []

    def test_the_last_change_of_a_key_wins(self, engine: StorageEngine) -> None:
        with engine.batch() as batch:
            batch.put(ITEMS, b"a", b"1")
            batch.delete(ITEMS, b"a")
            batch.delete(ITEMS, b"b")
            batch.put(ITEMS, b"b", b"2")
            batch.put(ITEMS, b"b", b"3")
        assert list(engine.scan(ITEMS)) == [(b"b", b"3")]

    def test_an_empty_batch_is_fine(self, engine: StorageEngine) -> None:
        with engine.batch():
            pass
        assert list(engine.scan(ITEMS)) == []

    def test_a_batch_is_seen_whole_or_not_at_all(self, engine: StorageEngine) -> None:
        keys = [bytes([n]) for n in range(20)]
        failed: list[list[bytes]] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                values = [value for _, value in engine.scan(ITEMS)]
                if len(values) not in (0, len(keys)) or len(set(values)) > 1:
                    failed.append(values)

        reader = threading.Thread(target=read)
        reader.start()
        for round in range(30):
            with engine.batch() as batch:
                for key in keys:
                    batch.put(ITEMS, key, bytes([round]))
        stop.set()
        reader.join()
        assert failed == []

    def test_threads_share_an_engine(self, engine: StorageEngine) -> None:
        def write(thread: int) -> None:
            for n in range(25):
                engine.put(ITEMS, bytes([thread, n]), b"value")

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [key for key, _ in engine.scan(ITEMS)] == [bytes([t, n]) for t in range(4) for n in range(25)]

    # ------------------------------------------------------------------ refusals

    def test_an_unknown_keyspace_is_refused(self, engine: StorageEngine) -> None:
        for call in (
            lambda: engine.get("sessions", b"key"),
            lambda: engine.put("sessions", b"key", b"value"),
            lambda: engine.delete("sessions", b"key"),
            lambda: list(engine.scan("sessions")),
        ):
            with pytest.raises(InvalidKey, match="no keyspace 'sessions'; there are items, users, creators"):
                call()

    @pytest.mark.parametrize(("key", "value"), [("text", b"value"), (b"key", "text"), (b"key", None)])
    def test_what_is_not_bytes_is_refused(self, engine: StorageEngine, key: bytes, value: bytes) -> None:
        with pytest.raises(InvalidKey, match="encode it to bytes"):
            engine.put(ITEMS, key, value)
        assert list(engine.scan(ITEMS)) == []

    def test_a_closed_engine_refuses(self, tmp_path: Path) -> None:
        engine = self.open_engine(tmp_path)
        engine.close()
        engine.close()
        for call in (
            lambda: engine.get(ITEMS, b"key"),
            lambda: engine.put(ITEMS, b"key", b"value"),
            lambda: engine.delete(ITEMS, b"key"),
            lambda: list(engine.scan(ITEMS)),
            engine.flush,
        ):
            with pytest.raises(StoreClosed):
                call()

    # ------------------------------------------------------------------ opened again

    def test_what_was_written_is_there_after_opening_again(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this engine does not claim to be persistent")
        engine = self.open_engine(tmp_path)
        for key in AWKWARD_KEYS:
            engine.put(ITEMS, key, b"<" + key)
        engine.delete(ITEMS, b"a")
        with engine.batch() as batch:
            batch.put(USERS, b"u", b"")
        engine.flush()
        engine.close()

        engine = self.open_engine(tmp_path)
        assert list(engine.scan(ITEMS)) == [(key, b"<" + key) for key in sorted(AWKWARD_KEYS) if key != b"a"]
        assert engine.get(USERS, b"u") == b""
        engine.close()
