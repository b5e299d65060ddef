"""Replayed: the state that a replay gives: it reads like a database, adds to others, becomes a store."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tidal.db import Settings
from tidal.db.reads import Reads
from tidal.durable import FileSystem, OsFileSystem, replace_file
from tidal.entities import KeyNames
from tidal.errors import InvalidOption, MissingSegment, SchemaError
from tidal.ledger import SignalLedger
from tidal.opening.arguments import checked_folder
from tidal.replay.partial import Covered, Partial, encode_partial
from tidal.replay.saving import save_as_store
from tidal.replay.source import LeftOut
from tidal.schema import NewKey
from tidal.storage import MemoryEngine


class Replayed(Reads):
    """What a history adds up to, in memory. All reads are those of a database: score(), count(), velocity(),
    top(), rank(), read() and the rest, each with ``at=``; keys can be used where the events had keys.

    ``schema`` is what it was replayed with, ``source`` what it was made from. Make one with tidal.replay() or
    tidal.merge().
    """

    def __init__(self, ledger: SignalLedger, partial: Partial, source: str, at: int | None) -> None:
        self.source = source
        self._partial = partial
        engine = MemoryEngine()
        names = KeyNames(engine)
        names.adopt(NewKey(kind, id, key) for (kind, id), key in partial.names.items())
        settings = Settings(
            wall_clock=lambda: 0 if at is None else at,
            event_clock=at is None,
            max_future_skew_ns=None,
            checkpoint_bytes=None,
            materializers={},
        )
        super().__init__(partial.schema, ledger, engine, names, settings)

    @property
    def ledger(self) -> SignalLedger:
        """The state itself, whose reads take ids and times in ns only."""
        return self._ledger

    @property
    def events(self) -> int:
        """How many events the state holds."""
        return self._partial.account.events

    @property
    def covered(self) -> tuple[Covered, ...]:
        """Which events were read: runs of sequences, by store."""
        return self._partial.account.covered

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What was damaged or missing, and left out because that was asked for."""
        return self._partial.account.left_out

    @property
    def until(self) -> int | None:
        """The time in ns after which events were left out; None: none was."""
        return self._partial.account.until

    @property
    def last_seq(self) -> int:
        """The largest sequence that was read, of any store; 0 if there was no event."""
        return self._partial.account.last_seq

    def merge(self, other: Replayed) -> None:
        """Add the state of other events: another part of the same history, or another store's.

        Raises SchemaError for another schema, InvalidOption where events would count twice, or where the two
        end at different times (``until``).
        """
        self.add(other.as_partial())

    def add(self, other: Partial) -> None:
        """Add a partial replay; as merge()."""
        account = other.account
        if other.schema != self.schema:
            raise SchemaError("only replays with one schema can be added; replay one of them again")
        for run in account.covered:
            if any(run.overlaps(mine) for mine in self.covered):
                raise InvalidOption(
                    f"both replays have read events of {run.first_seq} to {run.last_seq} of store "
                    f"{run.store_id}: they would count twice"
                )
        if account.until != self.until:
            raise InvalidOption(f"one replay ends at {self.until}, the other at {account.until} (until=)")
        other.load_into(self._ledger)
        self._partial = replace(
            self._partial,
            account=self._partial.account.plus(account),
            names=self._partial.names | other.names,
        )
        self._names.adopt(NewKey(kind, id, key) for (kind, id), key in other.names.items())

    def as_partial(self) -> Partial:
        """Return the state as plain arrays, with what it is of."""
        meta, arrays = self._ledger.save()
        return replace(self._partial, meta=meta, arrays=arrays)

    def check_whole(self) -> None:
        """Raise MissingSegment where events between those that were read are in no part."""
        for before, run in zip(self.covered, self.covered[1:], strict=False):
            if before.log == run.log:
                raise MissingSegment(before.last_seq + 1, run.first_seq - 1, f"the parts of {run.store_id}")

    def save(self, path: str | os.PathLike[str], *, file_system: FileSystem | None = None) -> Path:
        """Make a store of this state, and return its folder; tidal.open() goes on from there.

        It has the scores, counts and keys, and no events: its history begins after the sequence up to which
        was read, as that of a store does whose archive was given up. Metadata, sessions and jobs stay with
        the source. It is the region and shard that the events are of, or 0 where they are of several. The
        folder must not exist; it has its name once it is whole. Raises InvalidOption, StorageError.
        """
        target = checked_folder("path", path)
        save_as_store(
            file_system or OsFileSystem(), target, self.schema, self._ledger, self._partial.names,
            self.last_seq, self._partial.account.place, self._origin(),
        )  # fmt: skip
        return target

    def write(self, path: str | os.PathLike[str], *, file_system: FileSystem | None = None) -> Path:
        """Write the state to one file, for tidal.merge() here or on another machine; return its path.

        The file appears when it is whole, and every byte of it is under a hash. Raises StorageError.
        """
        target = checked_folder("path", path)
        replace_file(file_system or OsFileSystem(), target, encode_partial(self.as_partial()))
        return target

    def _origin(self) -> dict[str, object]:
        return {
            "made_by": "replay",
            "source": self.source,
            "events": self.events,
            "until": self.until,
            "covered": [[it.store_id, it.first_seq, it.last_seq] for it in self.covered],
            "left_out": [[it.name, it.first_seq, it.last_seq, it.reason] for it in self.left_out],
        }

    def __repr__(self) -> str:
        return f"Replayed({self.events} events of {self.source!r}: {', '.join(self.schema.names)})"
