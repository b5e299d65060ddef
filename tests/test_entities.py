"""Ids of keys, names of ids, metadata."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import tidal.entities
from tidal.entities import KEY_BYTES_MAX, EntityStore, KeyNames, entity_key_id, entity_key_ids
from tidal.errors import InvalidEntity, InvalidKind, KeyCollision, StorageError
from tidal.schema.events import NewKey
from tidal.storage import MemoryEngine, SqliteEngine, StorageEngine, Tag, encode_key

keys = st.text(max_size=20)


@pytest.fixture(params=["memory", "sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageEngine]:
    engine: StorageEngine
    engine = (
        MemoryEngine() if request.param == "memory" else SqliteEngine(tmp_path / "meta.sqlite", create=True)
    )
    yield engine
    engine.close()


@pytest.fixture
def names(engine: StorageEngine) -> KeyNames:
    return KeyNames(engine)


@pytest.fixture
def items(engine: StorageEngine, names: KeyNames) -> EntityStore:
    return EntityStore(engine, "item", names)


def new(key: str, kind: str = "item") -> NewKey:
    return NewKey(kind, entity_key_id(key), key)


# ---------------------------------------------------------------------------------- ids


def test_ids_are_the_same_everywhere() -> None:
    assert entity_key_id("") == int.from_bytes(blake3(b"").digest()[:8], "little")
    assert entity_key_id("sku:85123A") == 8686700507223753918
    assert entity_key_id("größe") == int.from_bytes(blake3("größe".encode()).digest()[:8], "little")


@given(st.lists(keys))
def test_bulk_ids_are_the_single_ones(some: list[str]) -> None:
    ids = entity_key_ids(some)
    assert ids.dtype == np.uint64
    assert ids.tolist() == [entity_key_id(key) for key in some]


def test_each_distinct_key_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(tidal.entities, "entity_key_id", lambda key: hashed.append(key) or len(key))
    assert entity_key_ids(["a", "bb", "a", "a"]).tolist() == [1, 2, 1, 1]
    assert hashed == ["a", "bb"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("\ud800", "not valid text"),
        (5, "key 5 is not valid text"),
        ("é" * 513, f"has 1026 bytes, at most {KEY_BYTES_MAX}"),
    ],
)
def test_what_is_no_key_is_refused(key: Any, message: str) -> None:
    with pytest.raises(InvalidEntity, match=message):
        entity_key_id(key)


def test_the_longest_key_is_taken() -> None:
    assert 0 <= entity_key_id("a" * KEY_BYTES_MAX) < 2**64


# ---------------------------------------------------------------------------------- names


def test_a_key_is_new_until_adopted(names: KeyNames) -> None:
    for _ in range(2):  # a refused batch leaves no trace
        ids, new_keys = names.ids("item", ["b", "a", "b"])
        assert ids.tolist() == [entity_key_id("b"), entity_key_id("a"), entity_key_id("b")]
        assert new_keys == (new("b"), new("a"))
    assert names.name("item", entity_key_id("a")) is None
    names.adopt(new_keys)
    again, none = names.ids("item", ["b", "a", "b"])
    assert (again.tolist(), again.dtype, none) == (ids.tolist(), np.uint64, ())
    assert names.ids("item", ["a", "c"])[1] == (new("c"),)
    assert names.names("item", ids) == ["b", "a", "b"]
    assert names.name("item", 5) is None


def test_no_keys(names: KeyNames) -> None:
    ids, new_keys = names.ids("item", [])
    assert (ids.tolist(), ids.dtype, new_keys) == ([], np.uint64, ())


def test_kinds_are_apart(names: KeyNames) -> None:
    names.adopt([new("a")])
    assert names.ids("user", ["a"])[1] == (new("a", "user"),)
    assert names.name("user", entity_key_id("a")) is None


def test_without_a_kind_no_name_is_kept(names: KeyNames) -> None:
    ids, new_keys = names.ids(None, ["s", "s"])
    assert (ids.tolist(), new_keys) == ([entity_key_id("s")] * 2, ())


def test_an_unknown_kind_is_refused(names: KeyNames, engine: StorageEngine) -> None:
    for call in (
        lambda: names.ids("shop", ["a"]),
        lambda: names.name("shop", 1),
        lambda: names.id("shop", "a"),
        lambda: EntityStore(engine, "shop", names),
    ):
        with pytest.raises(InvalidKind, match="no entity kind 'shop'; there are item, user, creator"):
            call()


def test_flushed_names_are_found_by_another(names: KeyNames, engine: StorageEngine) -> None:
    names.adopt([new("a"), new("b"), new("a", "creator")])
    assert names.flush() == 3
    assert names.flush() == 0
    later = KeyNames(engine)
    assert later.ids("item", ["a", "b", "c"])[1] == (new("c"),)
    assert later.name("creator", entity_key_id("a")) == "a"
    assert later.name("user", entity_key_id("a")) is None
    assert later.id("item", "b") == entity_key_id("b")
    assert later.flush() == 0


def test_unflushed_names_are_not_in_the_engine(names: KeyNames, engine: StorageEngine) -> None:
    names.adopt([new("a")])
    assert KeyNames(engine).name("item", entity_key_id("a")) is None


def test_names_stay_pending_when_the_engine_fails(
    names: KeyNames, engine: StorageEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.adopt([new("a")])

    def fail() -> None:
        raise StorageError("no")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "batch", fail)
        with pytest.raises(StorageError):
            names.flush()
    assert names.flush() == 1


def test_recovery_may_adopt_again(names: KeyNames) -> None:
    names.adopt([new("a")])
    names.flush()
    names.adopt([new("a"), new("a")])
    assert names.name("item", entity_key_id("a")) == "a"
    assert names.ids("item", ["a"])[1] == ()


def test_a_collision_with_a_stored_name_is_refused(names: KeyNames, items: EntityStore) -> None:
    names.adopt([NewKey("item", entity_key_id("b"), "first")])  # as if "first" had the id of "b"
    for call in (
        lambda: names.ids("item", ["a", "b"]),
        lambda: names.id("item", "b"),
        lambda: items.put("b", {}),
        lambda: items.get("b"),
    ):
        with pytest.raises(KeyCollision, match="'first' and 'b' have the same id"):
            call()
    names.adopt([new("b")])  # two batches met in flight: the first name stays, the store still opens
    assert names.name("item", entity_key_id("b")) == "first"


def test_a_collision_within_one_batch_is_refused(names: KeyNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidal.entities, "entity_key_id", len)
    with pytest.raises(KeyCollision, match="'aa' and 'bb' have the same id, 2"):
        names.ids("item", ["aa", "c", "bb"])


def test_blocks_with_new_names_know_of_each_other(names: KeyNames) -> None:
    ours, theirs = NewKey("item", 7, "ours"), NewKey("item", 7, "theirs")
    with pytest.raises(ZeroDivisionError), names.adopting([theirs]):
        raise ZeroDivisionError  # as an append that is refused
    with names.adopting([ours]):
        assert names.name("item", 7) is None
    assert names.name("item", 7) == "ours"
    with names.adopting([ours]):
        pass
    with (
        pytest.raises(KeyCollision, match="'ours' and 'theirs' have the same id, 7"),
        names.adopting([theirs]),
    ):
        raise AssertionError("the block must not run")
    assert [key.key for key in names.pending("item", [7])] == ["ours"]


def test_a_block_with_new_names_waits_for_the_one_before(names: KeyNames) -> None:
    entered, refused = threading.Event(), []

    def second() -> None:
        try:
            with names.adopting([NewKey("item", 7, "theirs")]):
                entered.set()
        except KeyCollision as error:
            refused.append(error)

    thread = threading.Thread(target=second)
    with names.adopting([NewKey("item", 7, "ours")]):
        thread.start()
        assert not entered.wait(0.2)  # long enough to see the error, were it there
    thread.join()
    assert len(refused) == 1


@pytest.mark.parametrize("by", ["signal", "ingest", "put"])
def test_threads_that_bring_two_keys_of_one_id(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Both ask for the id before either is logged; one of them must be refused, and leave nothing."""
    both, outcomes = threading.Barrier(2), []
    schema = tidal.SchemaBuilder().signal("view").build()
    with tidal.open(schema=schema) as db:
        monkeypatch.setattr(tidal.entities, "entity_key_id", lambda key: 7)
        ids = db._names.ids

        def ids_and_meet(kind: str | None, keys: Any) -> Any:
            found = ids(kind, keys)
            if keys:
                both.wait(60)
            return found

        db._names.ids = ids_and_meet  # type: ignore[method-assign]

        def send(key: str) -> None:
            try:
                if by == "put" and key == "ours":
                    db.items.put(key, {"title": key})
                elif by == "ingest":
                    db.ingest(signal="view", entity_id=[key, key])
                else:
                    db.signal("view", key)
                outcomes.append(key)
            except KeyCollision as error:
                outcomes.append(error)

        threads = [threading.Thread(target=send, args=(key,)) for key in ("ours", "theirs")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (won,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert len(outcomes) == 2
        assert db.key_of(7) == won
        put = by == "put" and won == "ours"
        assert db.count("view", 7, "all") == db.last_seq == (0 if put else 2 if by == "ingest" else 1)
        assert db.items.get(7) == ({"title": "ours"} if put else None)


@given(
    st.lists(st.lists(keys, max_size=5), max_size=5), st.sets(st.integers(0, 4)), st.sets(st.integers(0, 4))
)
def test_any_history_names_each_logged_key(
    batches: list[list[str]], refused: set[int], flushed: set[int]
) -> None:
    engine = MemoryEngine()
    names, logged = KeyNames(engine), set[str]()
    for number, batch in enumerate(batches):
        ids, new_keys = names.ids("item", batch)
        assert ids.tolist() == [entity_key_id(key) for key in batch]
        assert {key for _, _, key in new_keys} == set(batch) - logged
        if number not in refused:
            names.adopt(new_keys)
            logged |= set(batch)
        if number in flushed:
            names.flush()
            names = KeyNames(engine)
    assert {names.name("item", entity_key_id(key)) for key in logged} == logged


# ---------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize("entity", [0, 2**63, 2**64 - 1, np.uint64(2**64 - 1), np.int32(7), "sku:1", ""])
def test_put_get_delete(items: EntityStore, entity: Any) -> None:
    assert items.get(entity) is None
    items.put(entity, {"title": "Ebb", "tags": ["a", None, True, 1.5], "größe": {"id": 2**64 - 1}})
    assert items.get(entity) == {"title": "Ebb", "tags": ["a", None, True, 1.5], "größe": {"id": 2**64 - 1}}
    items.put(entity, {})
    assert items.get(entity) == {}
    items.delete(entity)
    items.delete(entity)
    assert items.get(entity) is None


def test_a_key_is_its_id_and_gets_a_name(items: EntityStore, names: KeyNames, engine: StorageEngine) -> None:
    items.put("sku:1", {"n": 1})
    assert items.get(entity_key_id("sku:1")) == {"n": 1}
    assert KeyNames(engine).name("item", entity_key_id("sku:1")) == "sku:1"
    assert names.flush() == 0  # it is stored already
    items.delete("sku:1")
    assert names.name("item", entity_key_id("sku:1")) == "sku:1"


def test_kinds_of_metadata_are_apart(items: EntityStore, names: KeyNames, engine: StorageEngine) -> None:
    items.put(1, {"n": 1})
    assert EntityStore(engine, "user", names).get(1) is None


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.integers()), st.none() | st.integers(0, 2**64 - 1))
def test_scan_is_in_order_of_ids(numbers: dict[int, int], start: int | None) -> None:
    engine = MemoryEngine()
    items = EntityStore(engine, "item", KeyNames(engine))
    assert items.put_many({id: {"n": n} for id, n in numbers.items()}) == len(numbers)
    expected = [(id, {"n": n}) for id, n in sorted(numbers.items()) if start is None or id >= start]
    assert list(items.scan(start)) == expected


def test_scan_passes_over_names_and_other_records(items: EntityStore, engine: StorageEngine) -> None:
    items.put("sku:1", {"n": 1})
    engine.put("items", encode_key(3, Tag.REL, b"x"), b"other")
    assert list(items.scan()) == [(entity_key_id("sku:1"), {"n": 1})]


def test_put_many_takes_pairs_of_ids_and_keys(items: EntityStore) -> None:
    assert items.put_many(iter([("a", {"n": 1}), (5, {"n": 2}), ("b", {"n": 3}), ("a", {"n": 4})])) == 4
    assert [items.get(entity) for entity in ("a", 5, "b")] == [{"n": 4}, {"n": 2}, {"n": 3}]


def test_put_many_is_all_or_nothing(items: EntityStore, names: KeyNames) -> None:
    with pytest.raises(InvalidEntity):
        items.put_many([("a", {"n": 1}), (5, {"n": math.nan})])
    assert list(items.scan()) == []
    assert names.name("item", entity_key_id("a")) is None


@pytest.mark.parametrize("entity", [-1, 2**64, True, 1.0, None, b"key"])
def test_what_names_no_entity_is_refused(items: EntityStore, entity: Any) -> None:
    for call in (lambda: items.put(entity, {}), lambda: items.get(entity), lambda: items.delete(entity)):
        with pytest.raises(InvalidEntity):
            call()


@pytest.mark.parametrize(
    "metadata",
    [None, [], "text", {1: "a"}, {"a": math.nan}, {"a": math.inf}, {"a": b"bytes"}, {"a": "\ud800"}],
)
def test_what_json_cannot_hold_is_refused(items: EntityStore, metadata: Any) -> None:
    with pytest.raises(InvalidEntity, match="metadata of 5"):
        items.put(5, metadata)
    assert items.get(5) is None


def test_metadata_brings_its_name_before_the_log_is_durable(engine: StorageEngine, names: KeyNames) -> None:
    names.adopt([NewKey("item", entity_key_id("sku:7"), "sku:7")])  # an event's, which a power cut may take
    EntityStore(engine, "item", names).put("sku:7", {"title": "Flow"})
    assert KeyNames(engine).name("item", entity_key_id("sku:7")) == "sku:7"


@given(
    pending=st.dictionaries(st.integers(0, 9), st.text("ab", min_size=1, max_size=2)),
    stored=st.dictionaries(st.integers(0, 9), st.text("cd", min_size=1, max_size=2)),
    metadata=st.dictionaries(st.sampled_from([*range(10), 2**64 - 1]), st.integers(0, 5)),
    first=st.integers(0, 10),
    last=st.sampled_from([4, 9, 2**64 - 1]),
    page=st.integers(1, 4),
)
def test_entries_are_keys_and_metadata_joined(
    pending: dict[int, str],
    stored: dict[int, str],
    metadata: dict[int, int],
    first: int,
    last: int,
    page: int,
) -> None:
    engine = MemoryEngine()
    names = KeyNames(engine)
    names.adopt(NewKey("item", id, key) for id, key in stored.items())
    names.adopt([NewKey("user", 3, "other")])
    names.flush()
    names.adopt(NewKey("item", id, key) for id, key in pending.items() if id not in stored)
    items = EntityStore(engine, "item", names)
    for id, n in metadata.items():
        engine.put("items", encode_key(id, Tag.META), b'{"n":%d}' % n)
    keys = {**pending, **stored}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tidal.entities, "_PAGE", page)
        found = list(items.entries(first, last))
    ids = sorted(id for id in keys.keys() | metadata.keys() if first <= id <= last)
    assert found == [
        (id, keys.get(id), None if id not in metadata else f'{{"n":{metadata[id]}}}') for id in ids
    ]


def test_entries_are_read_as_they_are_when_they_come(engine: StorageEngine, names: KeyNames) -> None:
    """No scan stays open while a reader dawdles: what is stored meanwhile is there further on."""
    items = EntityStore(engine, "item", names)
    items.put_many((n, {}) for n in range(tidal.entities._PAGE))
    entries = items.entries()
    assert next(entries) == (0, None, "{}")
    items.put(10**6, {"late": True})
    assert list(entries)[-1] == (10**6, None, '{"late":true}')
