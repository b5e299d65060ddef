"""What a leader gives to those that begin: an offer, the checkpoint in pieces, and the entities in pages."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from typing import Final

from tidal.checkpoint.reader import list_checkpoints
from tidal.durable import FileSystem, read_file, size_if_there
from tidal.errors import StorageError
from tidal.format.segment import LogIdentity
from tidal.meters import said
from tidal.replication.feed import LogFeed, Origin
from tidal.replication.messages import Message, Offer, Piece, Records, Request, Want
from tidal.replication.offer import Beginning
from tidal.storage import KEYSPACES, StorageEngine
from tidal.store import StorePaths

SPACES: Final = tuple(KEYSPACES.values())
PIECES: Final = 8  # that answer one request
_ROW_BYTES: Final = 16  # of a record in a page, beside its key and value at least

_logger = logging.getLogger(__name__)


class Giver:
    """Answers the requests of new followers. It remembers nothing of them: each asks for what it lacks."""

    def __init__(
        self,
        fs: FileSystem,
        paths: StorePaths,
        identity: LogIdentity,
        feed: LogFeed,
        engine: StorageEngine,
        origin: Origin,
    ) -> None:
        self._fs, self._paths, self._identity = fs, paths, identity
        self._feed, self._engine, self._origin = feed, engine, origin

    def answer(self, request: Request, most: int) -> list[Message]:
        """Return what to answer, each of ``most`` bytes at most."""
        if request.want == Want.OFFER:
            offer = self._offer()
            return [] if offer is None else [Offer(offer.encode())]
        if request.want == Want.PIECE:
            return list(self._pieces(request.seq, request.number, most))
        if request.want == Want.RECORDS:
            return [self._records(request.key, most)]
        return []

    def _offer(self) -> Beginning | None:
        """Return what to begin with; None where that has just changed: it is asked for again."""
        mine = self._identity
        found = list_checkpoints(self._fs, self._paths.checkpoints)
        checkpoint_seq, path = found[0] if found else (0, None)
        # Without a segment, all that was there when this leader began is archived, and nothing came since.
        start = self._feed.segment_of(checkpoint_seq + 1) or self._origin
        size = 0 if path is None else size_if_there(self._fs, path)
        if size is None or list_checkpoints(self._fs, self._paths.checkpoints) != found:
            return None  # by newer checkpoints the log after this one may be archived
        return Beginning(
            mine.store_id,
            mine.region,
            mine.shard,
            mine.epoch,
            read_file(self._fs, self._paths.schema),
            start.seq + 1,
            start.hash,
            checkpoint_seq,
            size,
            start.epoch,
        )

    def _pieces(self, seq: int, offset: int, most: int) -> Iterator[Piece]:
        """Yield some pieces of a checkpoint from a place on; one without bytes if it is gone."""
        path = {it.seq: it.path for it in list_checkpoints(self._fs, self._paths.checkpoints)}.get(seq)
        try:
            file = None if path is None else self._fs.open_read(path)
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            file = None
        if file is None:
            yield Piece(seq, 0, 0, b"")
            return
        try:
            total = file.size()
            for place in range(offset, min(total, offset + PIECES * most), most):
                yield Piece(seq, place, total, file.read_at(place, most))
        finally:
            file.close()

    def _records(self, after: bytes, most: int) -> Records:
        """Return a page of records behind a key, which has the number of its keyspace before it."""
        rows: list[tuple[int, bytes, bytes]] = []
        held = 0
        first, key = (after[0], after[1:] + b"\0") if after else (0, b"")
        for number in range(first, len(SPACES)):
            for row_key, value in self._engine.scan(SPACES[number], start=key if number == first else b""):
                size = len(row_key) + len(value) + _ROW_BYTES
                if size > most:
                    text = "a record of %d bytes is too large to be given to a follower"
                    _logger.warning(text, size, extra=said("record_too_large", bytes=size))
                    continue
                if held + size > most:
                    return Records(after, False, tuple(rows))
                held += size
                rows.append((number, row_key, value))
        return Records(after, True, tuple(rows))
