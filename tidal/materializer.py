"""Materializer: state of a user's own that is derived from the log, and lives and recovers with the store."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tidal.schema.events import EventBatch


@runtime_checkable
class Materializer(Protocol):
    """What is fed every event in log order, and saved with the ledger.

    Register one as ``tidal.open(..., materializers={"name": it})``. It is called by one thread at a time, and
    must not call the database. What ``on_events`` raises makes the store unusable until it is opened again,
    since the log and the state would drift apart.
    """

    def on_events(self, batch: EventBatch) -> None:
        """Take the next events of the log.

        Where the batch has ``notes``, its events of type 255 are operations of sessions; a note is the JSON
        of one, in the order of those rows.
        """

    def checkpoint(self) -> bytes:
        """Return the whole state, before the first event too; equal logs should give equal bytes."""

    def restore(self, state: bytes) -> None:
        """Become what ``checkpoint`` saved, whatever was taken since; the events after it follow. By this a
        follower is taken back that gives up events which its leader never had, and a reader that must begin
        again since a writer beside it removed what was being read.
        """
