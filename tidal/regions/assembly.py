"""Pieces of what is too large for one message, put together again."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from tidal.errors import FormatError
from tidal.regions.messages import Piece

_AT_ONCE: Final = 4  # things of one sender that are under way; the oldest is given up for another


class Assembly:
    """What came so far of things that senders cut into pieces. ``bytes_most``: of one thing, at most."""

    def __init__(self, bytes_most: int) -> None:
        self._most = bytes_most
        self._senders: dict[int, dict[bytes, dict[int, Piece]]] = {}

    def add(self, sender: int, piece: Piece) -> bytes | None:
        """Return the whole once its last piece has come. FormatError for what is too large or not whole."""
        if piece.total > self._most:
            raise FormatError(f"{piece.total} bytes from node {sender}; at most {self._most} are taken")
        if piece.of == 1:
            return self._joined(sender, {0: piece})
        things = self._senders.setdefault(sender, {})
        found = things.setdefault(piece.whole, {})
        first = next(iter(found.values()), piece)
        if (first.of, first.total) != (piece.of, piece.total):
            raise FormatError(f"node {sender} sent pieces that do not fit together")
        found[piece.number] = piece
        if sum(len(it.data) for it in found.values()) > piece.total:
            del things[piece.whole]
            raise FormatError(f"node {sender} sent pieces with more bytes than the whole")
        if len(found) == piece.of:
            del things[piece.whole]
            return self._joined(sender, found)
        while len(things) > _AT_ONCE:
            del things[next(iter(things))]
        return None

    def _joined(self, sender: int, found: dict[int, Piece]) -> bytes:
        data = b"".join(found[number].data for number in sorted(found))
        if blake3(data).digest() != found[0].whole:
            raise FormatError(f"what node {sender} sent in pieces does not match its hash")
        return data
