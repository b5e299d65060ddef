"""Small JSON documents of a store that hold the hash of their own content.

One object, in canonical form: keys sorted, no white space, one line. Its field ``blake3`` is the BLAKE3 of
the object without it, in the same form, as 64 hexadecimal digits; ``format`` is a number that grows. The
bytes are a function of the content, so a reader takes these bytes and no others: none is outside the hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from blake3 import blake3

from tidal.errors import FormatError, FormatTooNew

_HASH = "blake3"
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_HEXADECIMAL = re.compile(r"[0-9a-f]*", re.ASCII)


def encode_document(body: Mapping[str, object]) -> bytes:
    """Return the bytes of a document with this content.

    >>> encode_document({"format": 1})[:24]
    b'{"blake3":"694f4047633a8'
    """
    return _with_digest(body, _digest(body))


def decode_document(
    data: bytes, *, version: int, fields: Collection[str], bytes_max: int, oldest: int | None = None
) -> dict[str, Any]:
    """Return the content of a document with exactly these fields besides its hash; types are not checked.

    Its format is ``version``, or one from ``oldest`` on.

    FormatTooNew for a format above ``version`` whose hash is good; FormatError for anything else that
    encode_document does not make, and for more than ``bytes_max`` bytes.
    """
    if len(data) > bytes_max:
        raise FormatError(f"{len(data)} bytes; at most {bytes_max} are read")
    try:
        body = json.loads(data)
        if not isinstance(body, dict):
            raise FormatError("not a JSON object")
        said = body.pop(_HASH, None)
        if said != _digest(body) or data != _with_digest(body, said):
            raise FormatError("its hash does not match its bytes")
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:  # what can just be read may be too deep to be written
        raise FormatError(f"not JSON: {error}") from None
    found = body.get("format")
    if type(found) is int and found > version:
        raise FormatTooNew(f"format {found}; this tidal reads up to {version}: upgrade it")
    first = version if oldest is None else oldest
    if type(found) is not int or not first <= found <= version or body.keys() != {"format", *fields}:
        raise FormatError(f"format {found!r} with the fields {', '.join(sorted(body))}")
    return body


def integer_of(body: Mapping[str, Any], field: str, low: int = 0, high: int = (1 << 64) - 1) -> int:
    """Return an integer field, a u64 unless told otherwise; FormatError for anything else."""
    value = body[field]
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{field} is not an integer from {low} to {high}")
    return value


def bytes_of(body: Mapping[str, Any], field: str, length: int) -> bytes:
    """Return a field of so many bytes, written as lower-case hexadecimal; FormatError for anything else."""
    text = body[field]
    if not isinstance(text, str) or len(text) != 2 * length or not _HEXADECIMAL.fullmatch(text):
        raise FormatError(f"{field} is not {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def _with_digest(body: Mapping[str, object], digest: str) -> bytes:
    return _canonical({**body, _HASH: digest}) + b"\n"


def _digest(body: Mapping[str, object]) -> str:
    return blake3(_canonical(body)).hexdigest()


def _canonical(body: Mapping[str, object]) -> bytes:
    return _CANONICAL.encode(body).encode()
