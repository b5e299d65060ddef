"""What is replayed: the events of one store, in the pieces in which they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tidal.format.payload import TypeSet
from tidal.format.segment import LogIdentity
from tidal.records import record
from tidal.replay.place import Place
from tidal.schema import Schema

# A file of an archive or a sealed segment, read by itself; or a run of events of a store, wherever that has
# them when they are read.
Kind = Literal["archive", "segment", "store"]


@record
class Piece:
    """A run of events. ``path``: of the file, or of the store's folder; ``name`` is for people.

    Times are ns, both ends included; ``size`` is in bytes.
    """

    kind: Kind
    path: Path
    name: str
    first_seq: int
    last_seq: int
    size: int
    min_time: int
    max_time: int
    types: TypeSet
    header_hash: bytes = b""  # what an archive's manifest says of the file

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1


@record
class LeftOut:
    """Events that were damaged or missing, and left out because that was asked for.

    ``name`` is the file's, the sequences are those of the first and the last event.
    """

    name: str
    first_seq: int
    last_seq: int
    reason: str

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1


@record
class Source:
    """The events of one store that are to be replayed, in the order of its log.

    Small, whatever the size of the files: it is what a task elsewhere is given. ``pieces`` follow each
    other; a hole between two is in ``left_out``.
    """

    name: str
    place: Place
    identity: LogIdentity
    schema: Schema
    pieces: tuple[Piece, ...]
    first_seq: int
    last_seq: int  # first_seq - 1: there are no events
    left_out: tuple[LeftOut, ...] = ()
    entities: Path | None = None  # the database of a store's keys, where it can be read

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1

    def between(self, first_seq: int, last_seq: int) -> Source:
        """Return the source of the events from one sequence to another."""
        return replace(
            self,
            pieces=tuple(it for it in self.pieces if it.first_seq <= last_seq and it.last_seq >= first_seq),
            first_seq=first_seq,
            last_seq=last_seq,
            left_out=tuple(it for it in self.left_out if first_seq <= it.first_seq <= last_seq),
        )

    def parts(self, count: int) -> list[Source]:
        """Return the source cut into consecutive parts of nearly as many events each."""
        cuts = [self.first_seq - 1 + self.events * number // count for number in range(count + 1)]
        return [self.between(cuts[i] + 1, cuts[i + 1]) for i in range(count)]
