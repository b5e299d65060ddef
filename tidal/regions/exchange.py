"""Exchange: which messages regions send, and what they make of those that come. No thread, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidal.errors import ClockSkew, FormatError, FormatTooNew, LimitExceeded
from tidal.regions.assembly import Assembly
from tidal.regions.messages import (
    OVERHEAD_BYTES,
    PIECE_BYTES_MAX,
    Kind,
    decode_message,
    decode_piece,
    encode_message,
    pieces_of,
)
from tidal.regions.parts import Lack
from tidal.regions.reconcile import (
    ReconciliationEngine,
    decode_summary,
    encode_lack,
    encode_summary,
)

_REPEAT_AFTER: Final = 4  # summaries that show no progress, before the same is sent again
WHOLE_BYTES_MAX: Final = 1 << 30


class Exchange:
    """One region's part in keeping all equal, over a channel that may lose, repeat and reorder messages.

    At each interval every region says in short what it has. Whoever sees that another lacks something sends
    it: at once if it is the region's own, after a second summary without progress if it is a third one's,
    since that one does so itself where it can. So all that arrives anywhere arrives everywhere, as long as
    any path is left. Everybody on the channel hears what is sent for one, so it is not sent for each.
    ``members``: the numbers of all regions.
    """

    def __init__(
        self,
        engine: ReconciliationEngine,
        *,
        node: int,
        members: frozenset[int],
        group: bytes,
        interval_ns: int,
        max_payload: int,
        bytes_most: int = WHOLE_BYTES_MAX,
    ) -> None:
        self.due = 0  # when step() has something to send next, ns
        self.heard: dict[int, int] = {}  # when each other region last said what it has, ns
        self.summaries: dict[int, dict[str, bytes]] = {}
        self.refused = 0  # messages that were none of ours, or damaged, or of a wrong clock
        self.refusal: str | None = None  # why, of the last
        self._engine, self._node, self._members, self._group = engine, node, members, group
        self._interval_ns = interval_ns
        self._piece_bytes = min(PIECE_BYTES_MAX, max_payload - OVERHEAD_BYTES)
        self._assembly = Assembly(bytes_most)
        self._lacking: dict[int, dict[tuple[str, int | None], tuple[bytes, int]]] = {}
        self._told: dict[tuple[str, int | None], tuple[bytes, int]] = {}  # what was sent last, and when

    def step(self, now: int) -> list[bytes]:
        """Return the messages that are due: what this region has, in short."""
        if now < self.due:
            return []
        self.due = now + self._interval_ns
        return self._sent(Kind.SUMMARY, encode_summary(self._engine.summary()))

    def on_message(self, data: bytes, now: int) -> list[bytes]:
        """Take a message and return the answers to it. A refused one changes nothing, and is counted."""
        try:
            return self._answers(data, now)
        except (FormatError, FormatTooNew, ClockSkew, LimitExceeded) as error:
            self.refused += 1
            self.refusal = str(error)
            return []

    def _answers(self, data: bytes, now: int) -> list[bytes]:
        message = decode_message(data, self._group)
        if message.sender == self._node:
            return []  # our own, as every subscriber gets it
        if message.sender not in self._members:
            raise FormatError(f"node {message.sender} is none of the members {sorted(self._members)}")
        whole = self._assembly.add(message.sender, decode_piece(message.body))
        if whole is None:
            return []
        if message.kind is Kind.PIECE:
            self._engine.apply(whole)
            return []
        summary = decode_summary(whole)
        lacks = self._engine.plan(summary).lacks
        self.heard[message.sender], self.summaries[message.sender] = now, summary
        chosen = [it for it in self._to_send(message.sender, lacks) if not self._on_its_way(it, now)]
        return [part for lack in chosen for part in self._sent(Kind.PIECE, encode_lack(lack))]

    def _to_send(self, peer: int, lacks: tuple[Lack, ...]) -> Iterator[Lack]:
        before, after = self._lacking.get(peer, {}), {}
        for lack in lacks:
            if lack.owner == peer:
                continue  # of its own state a region has the newest
            since, count = before.get((lack.part, lack.owner), (b"", -1))
            count = count + 1 if since == lack.since else 0
            after[lack.part, lack.owner] = (lack.since, count)
            first = 0 if lack.owner in (None, self._node) else 1
            if count >= first and (count - first) % _REPEAT_AFTER == 0:
                yield lack
        self._lacking[peer] = after

    def _on_its_way(self, lack: Lack, now: int) -> bool:
        """Return whether the same thing was sent just now, for another; else note that it is now."""
        if lack.thing is None:
            return False
        thing, told_at = self._told.get((lack.part, lack.owner), (b"", now))
        if thing == lack.thing and now - told_at < self._interval_ns:
            return True
        self._told[lack.part, lack.owner] = lack.thing, now
        return False

    def _sent(self, kind: Kind, data: bytes) -> list[bytes]:
        return [
            encode_message(kind, self._node, self._group, body) for body in pieces_of(data, self._piece_bytes)
        ]
