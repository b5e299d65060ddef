"""SessionBridge: operations of sessions carried from one region to another, each once and in order."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from tidal.errors import FormatError, InvalidOption, LimitExceeded
from tidal.regions.coding import U64_MAX, Reader, ascending, blob, rows

OPERATION_BYTES_MAX: Final = 1 << 16
SESSIONS_MAX: Final = 100_000
WAITING_MAX: Final = 1_000  # operations of one session that came before their turn

_MARK_ROW: Final = struct.Struct(">QQ")
_OPERATION: Final = struct.Struct(">QQ")


class SessionOp(NamedTuple):
    """One operation of a session, which has the sequences 1, 2, 3 ...

    >>> SessionOp.decode(SessionOp(7, 1, b"open").encode())
    SessionOp(session_id=7, seq=1, operation=b'open')
    """

    session_id: int
    seq: int
    operation: bytes

    def encode(self) -> bytes:
        """Return the bytes of the operation and its place."""
        return _OPERATION.pack(self.session_id, self.seq) + blob(self.operation)

    @classmethod
    def decode(cls, data: bytes) -> SessionOp:
        """Return what encode() wrote; FormatError for anything else."""
        reader = Reader(data)
        session_id, seq = reader.fields(_OPERATION)
        found = cls(session_id, seq, reader.blob(OPERATION_BYTES_MAX))
        reader.end()
        if seq == 0:
            raise FormatError("sequences of a session begin at 1")
        return found


class SessionBridge:
    """The receiving end: hands on the operations of each session in their order, and none twice.

    What is at or below a session's high-water mark came before, and is dropped; what is beyond the next one
    waits until the gap is filled. ``marks`` goes with the state that the operations make: saved together, and
    restored together. For one thread at a time.

    >>> bridge = SessionBridge()
    >>> bridge.receive(SessionOp(7, 2, b"reward")), bridge.missing(7)
    ([], 1)
    >>> [it.operation for it in bridge.receive(SessionOp(7, 1, b"open"))]
    [b'open', b'reward']
    >>> bridge.receive(SessionOp(7, 1, b"open")), bridge.mark(7)
    ([], 2)
    """

    def __init__(self) -> None:
        self._marks: dict[int, int] = {}
        self._waiting: dict[int, dict[int, SessionOp]] = {}

    def receive(self, op: SessionOp) -> list[SessionOp]:
        """Return the operations whose turn it is now, of none to many.

        LimitExceeded, with nothing taken, where too many sessions are open, or operations wait for one.
        """
        if not 1 <= op.seq <= U64_MAX:
            raise InvalidOption(f"sequence {op.seq} of session {op.session_id}; they begin at 1")
        mark = self._marks.get(op.session_id, 0)
        if op.seq <= mark:
            return []
        waiting = self._waiting.get(op.session_id, {})
        if op.seq > mark + 1 and op.seq not in waiting and len(waiting) >= WAITING_MAX:
            raise LimitExceeded(
                f"{WAITING_MAX} operations of session {op.session_id} wait for {mark + 1}; send that first"
            )
        if len(self._marks.keys() | self._waiting.keys() | {op.session_id}) > SESSIONS_MAX:
            raise LimitExceeded(f"more than {SESSIONS_MAX} sessions; forget() those that were closed")
        waiting = self._waiting.setdefault(op.session_id, {})
        waiting[op.seq] = op
        ready: list[SessionOp] = []
        while (following := waiting.pop(mark + 1 + len(ready), None)) is not None:
            ready.append(following)
        if ready:
            self._marks[op.session_id] = ready[-1].seq
        if not waiting:
            del self._waiting[op.session_id]
        return ready

    def go_on(self, session_id: int, mark: int) -> None:
        """Have a session be as far as what its operations made says; what it passes no longer waits."""
        if mark > self._marks.get(session_id, 0):
            self._marks[session_id] = mark
            waiting = {seq: op for seq, op in self._waiting.pop(session_id, {}).items() if seq > mark}
            if waiting:
                self._waiting[session_id] = waiting

    def mark(self, session_id: int) -> int:
        """Return the last sequence of a session that was handed on, 0 before the first."""
        return self._marks.get(session_id, 0)

    def missing(self, session_id: int) -> int | None:
        """Return the sequence that is to be sent again, because later ones wait for it; or None."""
        return self.mark(session_id) + 1 if session_id in self._waiting else None

    def forget(self, session_id: int) -> None:
        """Forget a session; an operation of it that comes later is taken for one of a new session."""
        self._marks.pop(session_id, None)
        self._waiting.pop(session_id, None)

    def encode(self) -> bytes:
        """Return the marks as bytes, without what waits: that is sent again."""
        return rows(_MARK_ROW, sorted(self._marks.items()))

    @classmethod
    def decode(cls, data: bytes) -> SessionBridge:
        """Return what encode() wrote; FormatError for anything else."""
        reader = Reader(data)
        found = list(reader.rows(_MARK_ROW))
        reader.end()
        ascending([session_id for session_id, _ in found])
        if len(found) > SESSIONS_MAX or any(mark == 0 for _, mark in found):
            raise FormatError("marks of sessions that cannot be")
        bridge = cls()
        bridge._marks = dict(found)
        return bridge
