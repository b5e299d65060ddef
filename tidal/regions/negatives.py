"""HardNegatives: what users never want to see again, agreed on by several regions."""

from __future__ import annotations

import struct
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.errors import FormatError, InvalidOption
from tidal.regions.clock import NEVER, STAMP, Stamp
from tidal.regions.coding import Reader, ascending, rows

Sort = Literal["hide", "mute", "block"]
SORTS: Final[Mapping[Sort, tuple[int, str]]] = {  # how it is written, and the kind of its target
    "hide": (1, "item"),
    "mute": (2, "creator"),
    "block": (3, "user"),
}
Vector = Mapping[int, Stamp]
"""Of each node the newest of its stamps that somebody has, and with it all before."""

_ABSENT: Final = NEVER.encode()
_ROW: Final = struct.Struct(f">QBQ{STAMP.size}s{STAMP.size}s")
_STAMP_ROW: Final = struct.Struct(f">{STAMP.size}s")
_NUMBERS: Final = frozenset(number for number, _ in SORTS.values())


class NegativeKey(NamedTuple):
    """A user, what sort of negative it is (by its number in SORTS), and what it is of."""

    user_id: int
    sort: int
    target_id: int


class Entry(NamedTuple):
    """When something was last hidden, and when that was last taken back."""

    on: Stamp | None = None
    off: Stamp | None = None

    def merge(self, other: Entry) -> Entry:
        return Entry(_later(self.on, other.on), _later(self.off, other.off))

    @property
    def at_rest(self) -> bool:
        """Whether it is hidden once all regions know all: the last write wins, an equal stamp keeps it."""
        return self.on is not None and (self.off is None or self.on >= self.off)

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        return tuple(stamp for stamp in self if stamp is not None)


Entries = Mapping[NegativeKey, Entry]
_UNKNOWN: Final = Entry()


class Delta(NamedTuple):
    """What is newer than ``base``, and how far one who had that is with it."""

    base: dict[int, Stamp]
    upto: dict[int, Stamp]
    entries: dict[NegativeKey, Entry]


class HardNegatives:
    """Hides of items, mutes of creators, blocks of users, each by one user; safe to share by threads.

    At rest the last write wins. While regions do not know the same, what any of them still hides is hidden:
    an unhide counts when all are known to have it. Showing what a user has just hidden is worse than hiding
    for a few seconds longer what he wants back.

    ``keep`` is given each change before it counts, to make it durable; what it raises, put() and absorb() do,
    with nothing changed.
    """

    def __init__(self, keep: Callable[[Entries], None] = lambda changes: None) -> None:
        self._users: dict[int, dict[NegativeKey, Entry]] = {}
        self._vector: dict[int, Stamp] = {}
        self._order: dict[
            int, list[tuple[Stamp, NegativeKey]]
        ] = {}  # by node: what bears its stamps, by these
        self._keep = keep
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------ writing

    def put(
        self, sort: Sort, user_id: int, target_id: int, tick: Callable[[], Stamp], *, on: bool = True
    ) -> None:
        """Hide something from a user, or take that back.

        ``tick`` gives the stamp. It is called under a lock, so that nobody is told of a later one before.
        """
        key = NegativeKey(user_id, number_of(sort), target_id)
        with self._lock:
            stamp = tick()
            if stamp <= NEVER:
                raise InvalidOption(f"{stamp} is of no clock; pass HybridClock.tick")
            self._merge({key: Entry(on=stamp) if on else Entry(off=stamp)})

    def restore(self, entries: Entries) -> None:
        """Take what was kept in an earlier life."""
        with self._lock:
            self._set(entries)

    def merge(self, other: HardNegatives) -> None:
        """Take all that another knows."""
        self.absorb(other.delta({}))

    def absorb(self, delta: Delta) -> bool:
        """Take a delta and return whether it changed anything; nothing of one whose base is not known here.

        What lies between this state and such a base would be missing, while the vector said that it is there.
        """
        with self._lock:
            if any(self._vector.get(node, NEVER) < stamp for node, stamp in delta.base.items()):
                return False
            before = dict(self._vector)
            changed = self._merge(delta.entries)
            self._note(delta.upto.values())
            return changed or self._vector != before

    def _merge(self, entries: Entries) -> bool:
        merged = {key: self._entry(key).merge(entry) for key, entry in entries.items()}
        changes = {key: entry for key, entry in merged.items() if entry != self._entry(key)}
        if changes:
            self._keep(changes)
        self._set(changes)
        return bool(changes)

    def _set(self, entries: Entries) -> None:
        new: list[tuple[Stamp, NegativeKey]] = []
        for key, entry in entries.items():
            old = set(self._entry(key).stamps)
            self._users.setdefault(key.user_id, {})[key] = entry
            new += ((stamp, key) for stamp in entry.stamps if stamp not in old)
            for stamp in old.difference(entry.stamps):
                order = self._order[stamp.node]
                del order[bisect_left(order, (stamp, key))]
            self._note(entry.stamps)
        for stamp, key in sorted(set(new)):  # mostly newer than all that is there
            insort(self._order.setdefault(stamp.node, []), (stamp, key))

    def _entry(self, key: NegativeKey) -> Entry:
        return self._users.get(key.user_id, {}).get(key, _UNKNOWN)

    def _note(self, stamps: Iterable[Stamp]) -> None:
        for stamp in stamps:
            self._vector[stamp.node] = max(self._vector.get(stamp.node, stamp), stamp)

    # ------------------------------------------------------------------------------ reading

    def has(self, sort: Sort, user_id: int, target_id: int, peers: Iterable[Vector] = ()) -> bool:
        """Return whether something is hidden from a user. ``peers``: what each other region has."""
        entry = self._entry(NegativeKey(user_id, number_of(sort), target_id))
        return _shown_as_hidden(entry, tuple(peers))

    def of(self, sort: Sort, user_id: int, peers: Iterable[Vector] = ()) -> NDArray[np.uint64]:
        """Return the ids of all that is hidden from a user, ascending, uint64[n]."""
        number, known = number_of(sort), tuple(peers)
        with self._lock:
            found = list(self._users.get(user_id, {}).items())
        ids = [key.target_id for key, it in found if key.sort == number and _shown_as_hidden(it, known)]
        return np.array(sorted(ids), np.uint64)

    def vector(self) -> dict[int, Stamp]:
        """Return of each node the newest stamp that is known here."""
        with self._lock:
            return dict(self._vector)

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    # ------------------------------------------------------------------------------ as bytes

    def delta(self, base: Vector) -> Delta:
        """Return what is newer than somebody's vector. O(what is newer)."""
        with self._lock:
            entries = {
                key: self._entry(key)
                for node, order in self._order.items()
                for _, key in order[bisect_right(order, base.get(node, NEVER), key=itemgetter(0)) :]
            }
            # Of a base that is ahead of this state no more is claimed than is here.
            shared = {
                node: min(stamp, self._vector[node]) for node, stamp in base.items() if node in self._vector
            }
            return Delta(shared, dict(self._vector), entries)

    def encode(self) -> bytes:
        """Return the bytes of all that is known; equal knowledge has equal bytes."""
        return encode_delta(self.delta({}))

    @classmethod
    def decode(cls, data: bytes) -> HardNegatives:
        """Return what encode() wrote; FormatError for anything else."""
        delta = decode_delta(data)
        if delta.base:
            raise FormatError("a part of what is hidden, not all")
        made = cls()
        made.absorb(delta)
        return made


def number_of(sort: Sort) -> int:
    """Return how a sort of negative is written; InvalidOption for what is none."""
    try:
        return SORTS[sort][0]
    except (KeyError, TypeError):
        raise InvalidOption(f"{sort!r} is no sort of negative; there are {', '.join(SORTS)}") from None


def encode_vector(vector: Vector) -> bytes:
    """Return the bytes of a vector; equal ones have equal bytes."""
    return rows(_STAMP_ROW, [(vector[node].encode(),) for node in sorted(vector)])


def read_vector(reader: Reader) -> dict[int, Stamp]:
    """Return the next vector; FormatError for what is none."""
    stamps = [Stamp(*STAMP.unpack(data)) for (data,) in reader.rows(_STAMP_ROW)]
    ascending([stamp.node for stamp in stamps])
    return {stamp.node: stamp for stamp in stamps}


def encode_entry(entry: Entry) -> bytes:
    """Return the 28 bytes of an entry."""
    return b"".join(_ABSENT if stamp is None else stamp.encode() for stamp in entry)


def decode_entry(data: bytes) -> Entry:
    """Return what encode_entry wrote; FormatError for anything else."""
    if len(data) != 2 * STAMP.size or data == 2 * _ABSENT:
        raise FormatError("not when something was hidden")
    return Entry(_stamp_of(data[: STAMP.size]), _stamp_of(data[STAMP.size :]))


def encode_delta(delta: Delta) -> bytes:
    """Return the bytes of a delta; equal ones have equal bytes."""
    entries = [
        (*key, *(_ABSENT if stamp is None else stamp.encode() for stamp in delta.entries[key]))
        for key in sorted(delta.entries)
    ]
    return encode_vector(delta.base) + encode_vector(delta.upto) + rows(_ROW, entries)


def decode_delta(data: bytes) -> Delta:
    """Return what encode_delta wrote; FormatError for anything else."""
    reader = Reader(data)
    base, upto = read_vector(reader), read_vector(reader)
    found: list[tuple[NegativeKey, Entry]] = []
    for user_id, sort, target_id, on, off in reader.rows(_ROW):
        entry = decode_entry(on + off)
        found.append((checked_negative(user_id, sort, target_id), entry))
        if any(upto.get(stamp.node, NEVER) < stamp for stamp in entry.stamps):
            raise FormatError("an entry is newer than the vector says")
    reader.end()
    ascending([key for key, _ in found])
    return Delta(base, upto, dict(found))


def checked_negative(user_id: int, sort: int, target_id: int) -> NegativeKey:
    """Return a key that was read; FormatError for a sort that there is not."""
    if sort not in _NUMBERS:
        raise FormatError(f"{sort} is no sort of negative")
    return NegativeKey(user_id, sort, target_id)


def _stamp_of(data: bytes) -> Stamp | None:
    return None if data == _ABSENT else Stamp(*STAMP.unpack(data))


def _later(a: Stamp | None, b: Stamp | None) -> Stamp | None:
    return a if b is None else b if a is None else max(a, b)


def _shown_as_hidden(entry: Entry, peers: tuple[Vector, ...]) -> bool:
    if entry.at_rest or entry.on is None or entry.off is None:
        return entry.at_rest
    off = entry.off
    return any(known.get(off.node, NEVER) < off for known in peers)
