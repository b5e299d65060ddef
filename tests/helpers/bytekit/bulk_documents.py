"""The decoders of JSON documents, with inputs whose hash is right: tokens of good ones replaced and moved."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from blake3 import blake3

from bytekit.bulk import Arguments, BulkTarget
from bytekit.mutate import INTERESTING, JSON_VALUES
from bytekit.segments import IDENTITY
from bytekit.targets import SCHEMA
from tidal.errors import FormatError, FormatTooNew, SchemaError
from tidal.format.archive_manifest import (
    ArchivedFile,
    ArchiveManifest,
    SegmentEnd,
    decode_archive_manifest,
    encode_archive_manifest,
)
from tidal.format.manifest import ListedSegment, Manifest, decode_manifest, encode_manifest
from tidal.schema import schema_from_json, schema_to_json

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\[\]{},:"]+')
_STRUCTURE: Final = frozenset("[]{},:")
_POOL: Final = [
    json.dumps(value, sort_keys=True, separators=(",", ":"))
    for value in (*JSON_VALUES, *INTERESTING, *(-it for it in INTERESTING if it))
]
_CHANGES_MAX: Final = 3
_CHUNK: Final = 1024


def documents(
    good: Callable[[np.random.Generator], bytes],
) -> Callable[[np.random.Generator, int], list[Arguments]]:
    """Return what makes inputs out of good documents, which begin with their hash."""

    def make(rng: np.random.Generator, rows: int) -> list[Arguments]:
        return tokens_changed(rng, plain_document(good(rng)).decode(), rows, with_hash)

    return make


def plain_document(data: bytes) -> bytes:
    """Return a document without its hash."""
    found = json.loads(data)
    del found["blake3"]
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def tokens_changed(
    rng: np.random.Generator, text: str, rows: int, seal: Callable[[bytes], bytes]
) -> list[Arguments]:
    """Return JSON of which some tokens are others, the first as it was; ``seal`` makes the hash right."""
    tokens = _TOKEN.findall(text)
    draws = rng.integers(0, 1 << 32, (rows, 3 * _CHANGES_MAX + 3)).tolist()
    return [(seal(text.encode()),), *((_changed(tokens, row, seal),) for row in draws)]


def _changed(tokens: list[str], draws: list[int], seal: Callable[[bytes], bytes]) -> bytes:
    copy = tokens.copy()
    for turn in range(1 + draws[0] % _CHANGES_MAX):
        _change(copy, *draws[3 + 3 * turn : 6 + 3 * turn])
    data = seal("".join(copy).encode("utf-8", "surrogatepass"))
    if draws[1] % 32 == 0:  # after the hash
        at = draws[2] % len(data)
        return data[:at] + bytes([draws[2] >> 24]) + data[at + 1 :]
    return data


def _change(tokens: list[str], place: int, what: int, value: int) -> None:
    """Put another value, or nothing, in place of a token, or some of them twice."""
    at = 1 + place % max(1, len(tokens) - 2)
    if what % 8:  # of values, and not of names or what holds them together
        while at < len(tokens) - 1 and (tokens[at] in _STRUCTURE or tokens[at + 1] == ":"):
            at += 1
    at = min(at, len(tokens) - 2)
    choice = what // 8 % 16
    if choice == 0:
        del tokens[at]
    elif choice == 1:
        tokens[at:at] = tokens[at : at + 1 + value % 9]
    elif choice == 2:
        tokens[at] = tokens[value % len(tokens)]
    elif choice < 6:
        tokens[at] = _another(tokens[at], value)
    elif choice < 9:
        tokens[at] = str(value * value >> value % 64)
    else:
        tokens[at] = _POOL[value % len(_POOL)]


def _another(token: str, value: int) -> str:
    """Return a token of the same kind: a text with another character, or a number beside it."""
    if token.startswith('"'):
        at = 1 + value % max(1, len(token) - 2)
        return token[:at] + "0123456789abcdefgA.d"[value % 20] + token[at + 1 :]
    try:
        return str(int(token) + (-1, 1, 256, -256, 1 << 32)[value % 5])
    except ValueError:
        return "true" if token == "false" else "false"


def with_hash(plain: bytes) -> bytes:
    """Return the document with this body: the hash is the first of its fields in the order of names."""
    return b'{"blake3":"' + blake3(plain).hexdigest().encode() + b'",' + plain[1:] + b"\n"


def _log_manifest(rng: np.random.Generator) -> bytes:
    listed = tuple(
        ListedSegment(1 + 9 * n, 9 + 9 * n, 700 + n, rng.bytes(32)) for n in range(int(rng.integers(0, 3)))
    )
    return encode_manifest(Manifest(IDENTITY.store_id, 3, bool(rng.random() < 0.5), segments=listed))


def _archive_manifest(rng: np.random.Generator) -> bytes:
    files = tuple(
        ArchivedFile(
            1 + 9 * n,
            9 + 9 * n,
            700,
            -5,
            99,
            b"\1" + bytes(31),
            rng.bytes(32),
            rng.bytes(32),
            tuple(SegmentEnd(9 * n + end, rng.bytes(32)) for end in range(3, 3 + int(rng.integers(0, 3)))),
        )
        for n in range(int(rng.integers(0, 3)))
    )
    return encode_archive_manifest(ArchiveManifest(IDENTITY.store_id, files=files))


def _same_value(encode: Callable[[Any], bytes]) -> Callable[[Arguments, Any], bool]:
    """Of documents that may also be written with other white space, or digits in capital letters."""

    def check(given: Arguments, found: Any) -> bool:
        again, was = json.loads(encode(found)), json.loads(given[0].decode().lower())
        return bool(again.pop("blake3") and was.pop("blake3") and again == was)

    return check


def _same(encode: Callable[[Any], bytes]) -> Callable[[Arguments, Any], bool]:
    return lambda given, found: encode(found) == given[0]


_ERRORS: Final = (FormatError, FormatTooNew)

DOCUMENT_TARGETS: Final[dict[str, BulkTarget]] = {
    "log manifest": BulkTarget(
        documents(_log_manifest), decode_manifest, _ERRORS, _same(encode_manifest), 100_000, 2, _CHUNK
    ),
    "archive manifest": BulkTarget(
        documents(_archive_manifest), decode_archive_manifest, _ERRORS, _same(encode_archive_manifest),
        100_000, 2, _CHUNK,
    ),
    "schema.json": BulkTarget(
        documents(lambda _: schema_to_json(SCHEMA)), schema_from_json, (SchemaError, FormatTooNew),
        _same_value(schema_to_json), 100_000, 2, _CHUNK,
    ),
}  # fmt: skip
