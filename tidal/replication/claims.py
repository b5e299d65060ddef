"""Epochs claimed once: of all who would lead in one, one does; and an older leader looks for a later one."""

from __future__ import annotations

import logging
from typing import Final

from tidal.errors import TransportError
from tidal.format.segment import LogIdentity
from tidal.meters import said
from tidal.replication.transport import Transport
from tidal.schema.durations import NS_PER_SECOND

LOOK_NS: Final = 2 * NS_PER_SECOND  # between two looks for a later claim
_LOOK_MOST_NS: Final = 64 * NS_PER_SECOND  # while the transport does not answer

_logger = logging.getLogger(__name__)


def claim_name(identity: LogIdentity, epoch: int) -> str:
    """Return the name under which an epoch of a log is claimed.

    >>> claim_name(LogIdentity(bytes(16), 0), 7)
    'epoch/00000000000000000000000000000000/0/0/7'
    """
    return f"epoch/{identity.store_id.hex()}/{identity.region}/{identity.shard}/{epoch}"


def claim_epoch(
    transport: Transport, identity: LogIdentity, epoch: int, value: bytes, *, force: bool = False
) -> tuple[int, bytes]:
    """Claim an epoch of a log, or with ``force`` the first later one that is free; return it and who has it.

    The claim was won where that is ``value``, which must be no other node's. Errors as Transport.claim.
    """
    while True:
        winner = transport.claim(claim_name(identity, epoch), value)
        if winner == value or not force:
            return epoch, winner
        epoch += 1


class LaterClaim:
    """Looks now and then whether the epoch after a leader's was claimed: then another leads, and no follower
    need say so. A leader who began in a still later epoch, because its store was opened for writing by itself
    meanwhile, is heard of by the followers alone.
    """

    def __init__(self, transport: Transport, identity: LogIdentity) -> None:
        self._transport, self._epoch = transport, identity.epoch + 1
        self._name = claim_name(identity, self._epoch)
        self._looked_at: int | None = None
        self._pause = LOOK_NS

    def look(self, now: int) -> int | None:
        """Return the later epoch if it is known to be claimed; to be called often, at a time in ns.

        A transport that does not answer is asked ever more seldom: the events are to be sent meanwhile.
        """
        if self._looked_at is not None and 0 <= now - self._looked_at < self._pause:
            return None
        self._looked_at = now
        try:
            claimed = self._transport.claimed(self._name) is not None
        except TransportError as error:
            self._pause = min(2 * self._pause, _LOOK_MOST_NS)
            about = said(
                "claim_unknown", error_type=type(error).__name__, seconds=self._pause / NS_PER_SECOND
            )
            _logger.warning("whether another node leads is not known: %s", error, extra=about)
            return None
        self._pause = LOOK_NS
        return self._epoch if claimed else None
