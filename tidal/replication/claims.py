"""Epochs claimed once: of all who would lead in one, one does."""

from __future__ import annotations

from tidal.format.segment import LogIdentity
from tidal.replication.transport import Transport


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
