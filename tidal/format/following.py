"""The file that makes a store a follower: it takes in another's log, and no events of its own.

docs/format/following.md has the fields.
"""

from __future__ import annotations

from typing import Any, Final

from tidal.errors import FormatError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.segment import STORE_ID_BYTES
from tidal.records import record

FOLLOWING_FORMAT: Final = 1
FOLLOWING_BYTES_MAX: Final = 4_096
_FIELDS: Final = ("store_id", "leader_epoch", "claim")
CLAIM_MAX: Final = 200


@record
class Following:
    """What a follower remembers beside its log: the newest epoch that a leader was heard in, and what it
    would claim one with itself, which no other node has.
    """

    store_id: bytes
    leader_epoch: int
    claim: str


def encode_following(following: Following) -> bytes:
    """Return the bytes of the file."""
    return encode_document(
        {
            "format": FOLLOWING_FORMAT,
            "store_id": following.store_id.hex(),
            "leader_epoch": following.leader_epoch,
            "claim": following.claim,
        }
    )


def decode_following(data: bytes) -> Following:
    """Return what encode_following wrote; FormatError for any other bytes, or FormatTooNew."""
    body: dict[str, Any] = decode_document(
        data, version=FOLLOWING_FORMAT, fields=_FIELDS, bytes_max=FOLLOWING_BYTES_MAX
    )
    claim = body["claim"]
    if not isinstance(claim, str) or not claim.isascii() or not 1 <= len(claim) <= CLAIM_MAX:
        raise FormatError(f"claim is not 1 to {CLAIM_MAX} characters of ASCII")
    return Following(bytes_of(body, "store_id", STORE_ID_BYTES), integer_of(body, "leader_epoch"), claim)
