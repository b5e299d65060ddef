"""Entities by key: the ids of string keys, the names of ids, and the metadata of both."""

from __future__ import annotations

import contextlib
import heapq
import json
import operator
import threading
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice, takewhile
from typing import Any, Final, SupportsIndex

import numpy as np
from blake3 import blake3

from tidal.errors import InvalidEntity, InvalidKind, KeyCollision
from tidal.schema.events import ID_MAX, KEY_BYTES_MAX, U64, NewKey
from tidal.storage.engine import StorageEngine, WriteBatch
from tidal.storage.keys import KEYSPACES, Tag, decode_key, encode_key, id_prefix

_NAME_SUFFIX = b"name"
_ID_OF = operator.itemgetter(0)
_PAGE: Final = 4_096  # entities that one scan reads: an open scan keeps SQLite from tidying up
_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))

Entity = SupportsIndex | str
"""An id (0 .. 2**64 - 1), or a string key."""


def entity_key_id(key: str) -> int:
    """Return the id of a string key: the first 8 bytes, little-endian, of BLAKE3 of its UTF-8 bytes.

    The same in every store, region and process. Raises InvalidEntity for what is not text of at most
    KEY_BYTES_MAX bytes.

    >>> entity_key_id("sku:85123A")
    8686700507223753918
    """
    try:
        encoded = key.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidEntity(f"key {key!r} is not valid text: {error}") from error
    if len(encoded) > KEY_BYTES_MAX:
        raise InvalidEntity(
            f"key {key[:40]!r}... has {len(encoded)} bytes, at most {KEY_BYTES_MAX}; shorten it or hash it"
        )
    return int.from_bytes(blake3(encoded).digest(8), "little")


def entity_key_ids(keys: Sequence[str]) -> U64:
    """Return the ids of many string keys, in order; each distinct key is hashed once."""
    ids = {key: entity_key_id(key) for key in dict.fromkeys(keys)}
    return np.fromiter(map(ids.__getitem__, keys), np.uint64, len(keys))


class KeyNames:
    """The names of ids, by kind. Safe to share by threads.

    A name goes through the log first: ``ids`` tells which names the log lacks, the batch of events carries
    them, and ``adopt`` makes them known once that batch is logged. ``flush`` puts them into the storage
    engine, after which the log that carried them may go. Names are loaded from the engine when asked for,
    and stay in memory.
    """

    def __init__(self, engine: StorageEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._adopting = threading.Lock()  # from the check of new names until they are known
        self._ids: dict[str, dict[str, int]] = {kind: {} for kind in KEYSPACES}
        self._names: dict[str, dict[int, str]] = {kind: {} for kind in KEYSPACES}
        self._pending: dict[tuple[str, int], str] = {}  # adopted, not in the engine yet

    def ids(self, kind: str | None, keys: Sequence[str]) -> tuple[U64, tuple[NewKey, ...]]:
        """Return the ids of keys, and those keys that have no stored name, each once.

        Remembers nothing that is new: a batch that is refused leaves no trace. Without a kind (sessions)
        no name is ever kept. Raises KeyCollision if another key has the id of one of these.
        """
        if kind is None:
            return entity_key_ids(keys), ()
        _keyspace(kind)
        known = self._ids[kind]
        try:
            return np.fromiter(map(known.__getitem__, keys), np.uint64, len(keys)), ()
        except KeyError:
            pass
        ids: dict[str, int] = {}
        new: dict[int, NewKey] = {}
        for key in dict.fromkeys(keys):
            if (id := known.get(key)) is None:
                id = entity_key_id(key)
                name = new[id].key if id in new else self.name(kind, id)
                if name is None:
                    new[id] = NewKey(kind, id, key)
                elif name != key:
                    raise _collision(kind, id, name, key)
            ids[key] = id
        return np.fromiter(map(ids.__getitem__, keys), np.uint64, len(keys)), tuple(new.values())

    def id(self, kind: str, key: str) -> int:
        """Return the id of one key, whether its name is known or not, or raise KeyCollision."""
        id = self._ids[kind].get(key) if kind in self._ids else None
        if id is None:
            id = entity_key_id(key)
            if (name := self.name(kind, id)) not in (None, key):
                raise _collision(kind, id, name, key)
        return id

    @contextlib.contextmanager
    def adopting(self, new_keys: Sequence[NewKey], *, stored: bool = False) -> Iterator[None]:
        """A block that logs new names, or stores them; they are known after it if it raises nothing.

        Raises KeyCollision before the block if another thread has meanwhile brought another key for an id:
        blocks with new names run one after the other.
        """
        if not new_keys:
            yield
            return
        with self._adopting:
            for kind, id, key in new_keys:
                if (name := self.name(kind, id)) not in (None, key):
                    raise _collision(kind, id, name, key)
            yield
            self.adopt(new_keys, stored=stored)

    def adopt(self, new_keys: Iterable[NewKey], *, stored: bool = False) -> None:
        """Make names known that the log now holds, or the engine (``stored``); the first name of an id stays.

        Adopting a name again changes nothing, so that recovery may replay any part of the log.
        """
        with self._lock:
            for kind, id, key in new_keys:
                if self._names[kind].setdefault(id, key) == key:
                    self._ids[kind][key] = id
                    if not stored:
                        self._pending[kind, id] = key

    def name(self, kind: str, id: int) -> str | None:
        """Return the key that an id was made from, or None for an id that never had one."""
        keyspace = _keyspace(kind)
        if (name := self._names[kind].get(id)) is not None:
            return name
        stored = self._engine.get(keyspace, _name_key(id))
        if stored is None:
            return None
        self.adopt([NewKey(kind, id, stored.decode())], stored=True)
        return self._names[kind][id]

    def names(self, kind: str, ids: Iterable[int]) -> list[str | None]:
        """Return ``name`` of each id."""
        return [self.name(kind, int(id)) for id in ids]

    def pending(self, kind: str, ids: Iterable[int]) -> list[NewKey]:
        """Return the names of these ids that only the log holds so far."""
        with self._lock:
            return [NewKey(kind, id, key) for id in ids if (key := self._pending.get((kind, id))) is not None]

    def all_pending(self, kind: str) -> list[tuple[int, str]]:
        """Return (id, key) of all names that only the log holds so far."""
        with self._lock:
            return [(id, key) for (of, id), key in self._pending.items() if of == kind]

    def flush(self) -> int:
        """Write adopted names to the engine in one durable batch; return how many. Due at each checkpoint."""
        with self._lock:
            pending = dict(self._pending)
        if pending:
            with self._engine.batch() as batch:
                write_names(batch, (NewKey(kind, id, key) for (kind, id), key in pending.items()))
            self._engine.flush()
        with self._lock:
            for place in pending:
                self._pending.pop(place, None)
        return len(pending)


def write_names(batch: WriteBatch, new_keys: Iterable[NewKey]) -> None:
    """Add the records of names to a batch."""
    for kind, id, key in new_keys:
        batch.put(_keyspace(kind), _name_key(id), key.encode())


def names_in(engine: StorageEngine, kind: str) -> Iterator[tuple[int, str]]:
    """Yield (id, key) of all names of a kind that an engine holds, by rising id."""
    for key, value in engine.scan(_keyspace(kind)):
        id, tag, suffix = decode_key(key)
        if (tag, suffix) == (Tag.IDX, _NAME_SUFFIX):
            yield id, value.decode()


class EntityStore:
    """Metadata of the entities of one kind, a JSON object each: ``db.items``, ``db.users``, ``db.creators``.

    Metadata is not part of the log: it is durable when a call returns, and is not replayed.

    >>> from tidal.storage import MemoryEngine
    >>> engine = MemoryEngine()
    >>> items = EntityStore(engine, "item", KeyNames(engine))
    >>> items.put(42, {"title": "Ebb"})
    >>> items.put("sku:7", {"title": "Flow"})
    >>> items.get("sku:7")
    {'title': 'Flow'}
    >>> next(items.scan())
    (42, {'title': 'Ebb'})
    """

    def __init__(self, engine: StorageEngine, kind: str, names: KeyNames) -> None:
        self._engine, self._kind, self._names = engine, kind, names
        self._keyspace = _keyspace(kind)

    def put(self, entity: Entity, metadata: Mapping[str, Any]) -> None:
        """Store an entity's metadata, replacing what there was.

        Integers stay exact at any size. Raises InvalidEntity for an id outside u64 or metadata that JSON
        cannot hold (NaN and infinity among it), KeyCollision for a key whose id is another key's.
        """
        self.put_many([(entity, metadata)])

    def put_many(
        self, pairs: Mapping[Entity, Mapping[str, Any]] | Iterable[tuple[Entity, Mapping[str, Any]]]
    ) -> int:
        """Store the metadata of many entities, all or nothing; return how many pairs there were."""
        rows = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        keys = [entity for entity, _ in rows if isinstance(entity, str)]
        key_ids, new_keys = self._names.ids(self._kind, keys)
        ids = iter(key_ids.tolist())
        with self._names.adopting(new_keys, stored=True), self._engine.batch() as batch:
            write_names(batch, new_keys)
            # A power cut may take the events that brought a name, and must not leave metadata without one.
            write_names(batch, self._names.pending(self._kind, key_ids.tolist()))
            for entity, metadata in rows:
                id = next(ids) if isinstance(entity, str) else checked_id(entity)
                batch.put(self._keyspace, encode_key(id, Tag.META), _encode_metadata(entity, metadata))
        return len(rows)

    def get(self, entity: Entity) -> dict[str, Any] | None:
        """Return an entity's metadata, or None."""
        value = self._engine.get(self._keyspace, encode_key(self.id_of(entity), Tag.META))
        return None if value is None else _decode_metadata(value)

    def delete(self, entity: Entity) -> None:
        """Remove an entity's metadata; fine if there is none. Its signals and its name stay."""
        self._engine.delete(self._keyspace, encode_key(self.id_of(entity), Tag.META))

    def scan(self, start: SupportsIndex | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (id, metadata) by rising id from ``start`` on, as things are when the first is asked for."""
        first = b"" if start is None else id_prefix(checked_id(start))
        for key, value in self._engine.scan(self._keyspace, start=first):
            decoded = decode_key(key)
            if decoded.tag is Tag.META:
                yield decoded.id, _decode_metadata(value)

    def entries(self, first: int = 0, last: int = ID_MAX) -> Iterator[tuple[int, str | None, str | None]]:
        """Yield (id, key, metadata as JSON text) of all that have one of the two, ids first to last, rising.

        Some thousand are read at a time, as they are then, so it may be read as slowly as need be. Keys that
        are brought after the first was asked for may be missing.
        """
        pending = sorted(self._names.all_pending(self._kind))
        while first <= last:
            place = bisect_left(pending, (first, ""))
            with contextlib.closing(self._stored(first)) as stored:
                names = ((pending[i][0], Tag.IDX, pending[i][1]) for i in range(place, len(pending)))
                merged = groupby(heapq.merge(names, stored, key=_ID_OF), key=_ID_OF)
                due = takewhile(lambda found: found[0] <= last, islice(merged, _PAGE))
                page = [(id, {tag: text for _, tag, text in rows}) for id, rows in due]
            for id, texts in page:
                yield id, texts.get(Tag.IDX), texts.get(Tag.META)
            if len(page) < _PAGE:
                return
            first = page[-1][0] + 1

    def _stored(self, first: int) -> Generator[tuple[int, Tag, str], None, None]:
        """Yield keys (IDX) and metadata (META) as the engine has them, by rising id from the first on."""
        for key, value in self._engine.scan(self._keyspace, start=id_prefix(first)):
            id, tag, suffix = decode_key(key)
            if tag is Tag.META or (tag, suffix) == (Tag.IDX, _NAME_SUFFIX):
                yield id, tag, value.decode()

    def id_of(self, entity: Entity) -> int:
        """Return the id of an entity, given by id or key; InvalidEntity for what is neither."""
        return self._names.id(self._kind, entity) if isinstance(entity, str) else checked_id(entity)


def _encode_metadata(entity: Entity, metadata: Mapping[str, Any]) -> bytes:
    if not isinstance(metadata, Mapping) or not all(isinstance(name, str) for name in metadata):
        raise InvalidEntity(f"metadata of {entity!r} is not a mapping with str keys: {metadata!r}")
    try:
        return _JSON.encode(dict(metadata)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEntity(f"metadata of {entity!r} is not JSON: {error}") from error


def _decode_metadata(value: bytes) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(value)
    return metadata


def checked_id(entity: SupportsIndex) -> int:
    """Return an id as an int; InvalidEntity for what is none."""
    try:
        id = operator.index(entity)
    except TypeError:
        raise InvalidEntity(f"{entity!r} is neither an id nor a str key") from None
    if isinstance(entity, bool) or not 0 <= id <= ID_MAX:
        raise InvalidEntity(f"id {entity!r} is not an integer in 0 .. 2**64 - 1")
    return id


def _keyspace(kind: str) -> str:
    try:
        return KEYSPACES[kind]
    except (KeyError, TypeError):
        raise InvalidKind(f"no entity kind {kind!r}; there are {', '.join(KEYSPACES)}") from None


def _name_key(id: int) -> bytes:
    return encode_key(id, Tag.IDX, _NAME_SUFFIX)


def _collision(kind: str, id: int, name: str | None, key: str) -> KeyCollision:
    return KeyCollision(f"{kind} keys {name!r} and {key!r} have the same id, {id}; rename one of them")
