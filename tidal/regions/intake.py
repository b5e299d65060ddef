"""SessionIntake: operations of sessions that come from elsewhere, each taken into a store once, in order."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from typing import Any, Final

from tidal.db import TidalDb
from tidal.errors import FormatError, InvalidOption, SessionClosed, StoreMissing
from tidal.regions.bridge import SessionBridge, SessionOp
from tidal.regions.idempotency import KEYS_MAX, IdempotencyStore, idempotency_key
from tidal.storage import KEYSPACES, StorageEngine
from tidal.storage.keys import Tag, encode_key

_SPACE: Final = KEYSPACES["item"]
# These are part of the key format: they are on disk and do not change.
_MARK: Final = b"session"  # at the id 0, which values of items have no use for
_SLOT: Final = struct.Struct(">Q")
_KEPT: Final = struct.Struct(">Q16s")  # the number of the session among all, and its key

_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "open": frozenset({"user_id", "agent", "policy"}),
    "signal": frozenset({"signal", "entity_id", "weight"}),
    "hint": frozenset({"chosen", "rejected", "prompt", "strength", "kind"}),
    "annotate": frozenset({"entity_id", "note", "kind"}),
    "close": frozenset(),
}


def session_operation(what: str, *, timestamp: int, **fields: Any) -> bytes:
    """Return the bytes of an operation, for SessionOp: "open", "signal", "hint", "annotate" or "close", with
    the arguments of db.session() or of the session's method of that name. ``timestamp``: when, in ns.

    >>> session_operation("signal", signal="view", entity_id="post:1", timestamp=5)
    b'{"entity_id":"post:1","op":"signal","signal":"view","timestamp":5}'
    """
    _check(what, fields)
    body = {"op": what, "timestamp": timestamp, **fields}
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{what}: {error}") from None


def _check(what: str, fields: Mapping[str, Any]) -> None:
    if what not in _FIELDS:
        raise InvalidOption(f"operation {what!r}: choose one of {', '.join(_FIELDS)}")
    if unknown := fields.keys() - _FIELDS[what]:
        raise InvalidOption(f"{what} has no {', '.join(sorted(unknown))}")


class SessionIntake:
    """Takes operations into the store of a session that come from elsewhere: from another region, whose user
    is here now, from a gateway, from a device that was offline. Each is applied once and in the order of its
    number, whatever is lost on the way, comes twice, or late, and however often the store's process ends.

    How far a session is, its *mark*, is the number of its last operation in the store's log: there is no
    other record that could say something else. Nobody else may write to a session that is taken in. Whoever
    numbers the operations sends them until the mark is there. The sessions of ``most`` openings, 100,000 at
    most, are known for good; of an older one an opening that comes once more opens it anew.

    Every method may be called from any thread. A database without dedup= only.
    """

    def __init__(self, db: TidalDb, *, most: int = KEYS_MAX) -> None:
        db._check_writable()
        if db._disk is None:
            raise StoreMissing("what was taken in must be known after a restart; open a folder, not memory")
        if db._settings.dedup is not None:
            raise InvalidOption("open the database without dedup=: numbers tell operations apart here")
        self._db = db
        self._bridge = SessionBridge()
        self._known = _KeptKeys(db._engine, most)
        self._lock = threading.Lock()
        db.flush()
        for session in db.sessions.summaries():
            self._known.add(_key_of(session.id))

    def receive(self, op: SessionOp) -> int:
        """Take an operation, and return the mark of its session: up to it all is durable here, and need not
        be sent again. An operation that comes before its turn waits, in memory.

        Raises SessionClosed for one after the session's end, FormatError for bytes that are no operation,
        and what db.session() and its methods raise; the operations before it are taken then.
        """
        with self._lock:
            found = self._db.sessions.find(op.session_id)
            if found is None and _key_of(op.session_id) in self._known:
                return op.seq  # it was closed, and is forgotten since
            mark = 0 if found is None else found.seq
            if op.seq <= mark:
                self._db.flush()  # it may have been taken with an error, of what followed it
                return mark
            if found is not None and not found.is_open:
                raise SessionClosed(f"session {op.session_id} ended with its operation {mark}")
            self._bridge.go_on(op.session_id, mark)
            try:
                for ready in self._bridge.receive(op):
                    self._apply(ready)
                    mark = ready.seq
            except BaseException:
                self._bridge.forget(op.session_id)  # the store says how far it is; the rest is sent again
                raise
            self._db.flush()
            return mark

    def missing(self, session_id: int) -> int | None:
        """Return the number of the operation that is to be sent again, because later ones wait for it."""
        with self._lock:
            return self._bridge.missing(session_id)

    def _apply(self, op: SessionOp) -> None:
        what, timestamp, fields = _decoded(op.operation)
        if (what == "open") != (op.seq == 1):
            raise FormatError(f"operation {op.seq} of session {op.session_id} is {what}; the first one opens")
        sessions = self._db.sessions
        if what == "open":
            sessions.open(session_id=op.session_id, timestamp=timestamp, **fields)
            self._db.flush()  # else a power cut could leave the note without the session
            self._known.add(_key_of(op.session_id))
            return
        getattr(sessions.resume(op.session_id), what)(timestamp=timestamp, **fields)
        if what == "close":
            self._bridge.forget(op.session_id)


def _decoded(data: bytes) -> tuple[str, int, dict[str, Any]]:
    """Return name, time and arguments of an operation; FormatError for bytes that are none."""
    try:
        body = json.loads(data)
        what, timestamp = body.pop("op"), body.pop("timestamp")
        _check(what, body)
        if type(timestamp) is not int or session_operation(what, timestamp=timestamp, **body) != data:
            raise ValueError("not as session_operation() writes it")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidOption) as error:
        raise FormatError(f"no operation of a session: {error}") from None
    return what, timestamp, body


def _key_of(session_id: int) -> bytes:
    return idempotency_key(session_id, 1, b"open")


class _KeptKeys:
    """Keys in an engine, the last of many: each is there after a power cut once add() has returned."""

    def __init__(self, engine: StorageEngine, most: int) -> None:
        self._engine, self._most = engine, most
        self._keys = IdempotencyStore(most)
        found = [_KEPT.unpack(value) for _, value in engine.scan(_SPACE, encode_key(0, Tag.MV, _MARK))]
        for _, key in sorted(found)[-most:]:
            self._keys.add(key)
        self._next = max((number for number, _ in found), default=-1) + 1

    def add(self, key: bytes) -> None:
        if key not in self._keys:
            slot = encode_key(0, Tag.MV, _MARK + _SLOT.pack(self._next % self._most))
            self._engine.put(_SPACE, slot, _KEPT.pack(self._next, key))
            self._engine.flush()
            self._keys.add(key)
            self._next += 1

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys
