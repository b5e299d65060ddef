"""What a new follower begins with, as a document: whose log, its schema, and where to begin."""

from __future__ import annotations

from typing import Any, Final

from tidal.errors import FormatError, SchemaError
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.frame import HASH_BYTES, SEQ_MAX
from tidal.format.segment import STORE_ID_BYTES, U16_MAX
from tidal.records import record
from tidal.schema import Schema, schema_from_json

OFFER_FORMAT: Final = 1
OFFER_BYTES_MAX: Final = 1 << 20

_FIELDS: Final = (
    "store_id", "region", "shard", "epoch", "schema", "start_seq", "start_hash", "checkpoint_seq",
    "checkpoint_bytes", "start_epoch",
)  # fmt: skip


@record
class Beginning:
    """Where a new follower begins: with a checkpoint, and a log from ``start_seq`` on, which is not later.

    ``checkpoint_seq`` 0: with nothing, and the log from its first event on.
    """

    store_id: bytes
    region: int
    shard: int
    epoch: int
    schema: bytes  # its file
    start_seq: int
    start_hash: bytes
    checkpoint_seq: int = 0
    checkpoint_bytes: int = 0
    start_epoch: int = (
        0  # what is before the log's begin is of this epoch or older, what is after it not older
    )

    def encode(self) -> bytes:
        return encode_document(
            {
                "format": OFFER_FORMAT,
                "store_id": self.store_id.hex(),
                "region": self.region,
                "shard": self.shard,
                "epoch": self.epoch,
                "schema": self.schema.decode(),
                "start_seq": self.start_seq,
                "start_hash": self.start_hash.hex(),
                "checkpoint_seq": self.checkpoint_seq,
                "checkpoint_bytes": self.checkpoint_bytes,
                "start_epoch": self.start_epoch,
            }
        )

    def parsed_schema(self) -> Schema:
        """Return the schema; FormatError, as it was checked when it was read."""
        try:
            return schema_from_json(self.schema)
        except SchemaError as error:
            raise FormatError(f"no schema: {error}") from error


def decode_offer(data: bytes) -> Beginning:
    """Return what Beginning.encode made; FormatError for any other bytes, or FormatTooNew."""
    body = decode_document(data, version=OFFER_FORMAT, fields=_FIELDS, bytes_max=OFFER_BYTES_MAX)
    beginning = Beginning(
        bytes_of(body, "store_id", STORE_ID_BYTES),
        integer_of(body, "region", 0, U16_MAX),
        integer_of(body, "shard", 0, U16_MAX),
        integer_of(body, "epoch"),
        _text(body, "schema"),
        integer_of(body, "start_seq", 1, SEQ_MAX),
        bytes_of(body, "start_hash", HASH_BYTES),
        integer_of(body, "checkpoint_seq"),
        integer_of(body, "checkpoint_bytes"),
        integer_of(body, "start_epoch"),
    )
    beginning.parsed_schema()
    if beginning.checkpoint_seq < beginning.start_seq - 1:
        raise FormatError(f"a checkpoint at {beginning.checkpoint_seq}, and a log from {beginning.start_seq}")
    return beginning


def _text(body: dict[str, Any], field: str) -> bytes:
    if not isinstance(text := body[field], str):
        raise FormatError(f"{field} is no text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FormatError(f"{field} is no text: {error}") from None
