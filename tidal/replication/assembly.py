"""Runs of frames put together from their parts, and kept until what is before them has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tidal.replication.frames import Run
from tidal.replication.messages import RUN_BYTES_MAX, Batch

WAITING_BYTES_MAX: Final = 2 * RUN_BYTES_MAX


@dataclass(slots=True)
class _Partial:
    first_seq: int
    last_seq: int
    header: bytes
    offset: int
    total: int
    parts: dict[int, bytes] = field(default_factory=dict)
    held: int = 0


class Assembly:
    """Runs that are not taken in yet. Holds ``WAITING_BYTES_MAX`` at most, of the earliest events."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int, int], _Partial] = {}
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """The bytes of events that wait here."""
        return self._bytes

    def add(self, batch: Batch) -> None:
        """Keep a run, or a part of one; where there is no room, what is latest is given up."""
        key = (batch.header, batch.offset, batch.total)
        partial = self._waiting.get(key)
        if partial is None:
            partial = _Partial(batch.first_seq, batch.last_seq, batch.header, batch.offset, batch.total)
            self._waiting[key] = partial
        if batch.part_at in partial.parts:
            self._count(partial, -len(partial.parts[batch.part_at]))
        partial.parts[batch.part_at] = batch.data
        self._count(partial, len(batch.data))
        while self._bytes > WAITING_BYTES_MAX:
            self._drop(max(self._waiting, key=lambda it: self._waiting[it].first_seq))

    def next_after(self, seq: int) -> Run | None:
        """Return a whole run that has the event after ``seq``, if there is one; forget what is older."""
        for key in [key for key, it in self._waiting.items() if it.last_seq <= seq]:
            self._drop(key)
        for key, partial in self._waiting.items():
            if partial.first_seq <= seq + 1 and (data := _joined(partial)) is not None:
                self._drop(key)
                return Run(partial.header, partial.offset, data)
        return None

    def is_whole(self, batch: Batch) -> bool:
        """Return whether no part is missing any more of the run that this belongs to."""
        partial = self._waiting.get((batch.header, batch.offset, batch.total))
        return partial is None or partial.held >= partial.total

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._bytes = 0

    def _count(self, partial: _Partial, change: int) -> None:
        partial.held += change
        self._bytes += change

    def _drop(self, key: tuple[bytes, int, int]) -> None:
        self._bytes -= self._waiting.pop(key).held


def _joined(partial: _Partial) -> bytes | None:
    """Return the bytes of a run if all its parts are there, without a hole and one behind the other."""
    position, data = 0, []
    while position < partial.total:
        if (part := partial.parts.get(position)) is None:
            return None
        data.append(part)
        position += len(part)
    return b"".join(data) if position == partial.total else None
