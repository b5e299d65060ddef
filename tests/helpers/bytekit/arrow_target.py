"""The reader of Arrow's C structs, given counts, offsets, indexes and types that lie.

The structs carry no sizes of buffers: what cannot be checked is the producer's word, so every buffer here is
followed by enough zeros for what the reader must believe.
"""

from __future__ import annotations

import random
import struct
from typing import Any, Final, NamedTuple

from arrow_fake import FakeColumn, FakeTable

from bytekit import mutate
from bytekit.targets import Target
from tidal._ext.arrow import Stream

_PADDING: Final = bytes(1 << 14)
_ROWS_MAX: Final = 40
_PLAIN: Final = (
    "c",
    "C",
    "s",
    "S",
    "i",
    "I",
    "l",
    "L",
    "e",
    "f",
    "g",
    "b",
    "n",
    "tdD",
    "tdm",
    "tsn:",
    "tsu:UTC",
)
_OTHER: Final = ("", "z", "+l", "+s", "w:16", "d:19,10", "tiD", "tDn", "xx", "u8", "vz", "\x80")


class Given(NamedTuple):
    """A table, which can be read once."""

    table: FakeTable
    data: bytes = b""


def _make(rng: random.Random) -> Given:
    rows = rng.choice((0, 1, 2, 9, _ROWS_MAX))
    table = FakeTable(
        [_column(rng, rows) for _ in range(rng.randrange(1, 4))],
        _count(rng, rows),
        chunks=rng.choice((0, 1, 1, 2)),
        error=rng.choice((None, None, None, "the producer broke")),
        children_declared=rng.choice((None, None, None, None, None, 0, 1, 4, -1, 1 << 40)),
    )
    return Given(table)


def _count(rng: random.Random, rows: int) -> int:
    """The rows, fewer, or more than can be; never more rows than the padding holds."""
    return rng.choice((rows, rows, rows, rows, rows // 2, -1, 1 << 31, 1 << 62, -(1 << 63)))


def _column(rng: random.Random, rows: int, *, inner: bool = False) -> FakeColumn:
    kind = rng.choice(("plain", "text", "view", "dictionary", "other"))
    dictionary = None
    if kind == "text":
        code, buffers = _text(rng, rows)
    elif kind == "view":
        code, buffers = _views(rng, rows)
    elif kind == "dictionary" and not inner:
        dictionary = _column(rng, rng.choice((0, 1, 5)), inner=True)
        code, buffers = (
            rng.choice(("c", "C", "s", "i", "l", "L", "f")),
            [_validity(rng), _noise(rng, 8 * rows)],
        )
    else:
        code = rng.choice(_OTHER if kind == "other" else _PLAIN)
        buffers = [_validity(rng), _noise(rng, 8 * rows)]
    if rng.random() < 0.1:
        buffers = buffers[: rng.randrange(len(buffers) + 1)]
    if rng.random() < 0.1 and buffers:
        buffers[rng.randrange(len(buffers))] = None
    return FakeColumn(
        code, buffers, _count(rng, rows), offset=rng.choice((0, 0, 0, 1, 7, 9, -1, 1 << 62)),
        null_count=rng.choice((0, -1, 1, rows, 1 << 40)), dictionary=dictionary,
    )  # fmt: skip


def _validity(rng: random.Random) -> bytes | None:
    return rng.choice((None, rng.randbytes(8) + _PADDING))


def _noise(rng: random.Random, size: int) -> bytes:
    return mutate.some_bytes(rng, rng.randbytes(size), keep_length=True) + _PADDING


def _text(rng: random.Random, rows: int) -> tuple[str, list[bytes | None]]:
    """Offsets in any order; the last, which is the reader's only word for the data's size, is true."""
    data = rng.randbytes(rng.choice((0, 1, 30))) if rng.random() < 0.3 else b"abcdefghij" * 3
    wide = rng.random() < 0.5
    offsets = sorted(rng.randrange(len(data) + 1) for _ in range(rows + 16))
    if rng.random() < 0.5 and rows:
        bits = 64 if wide else 32
        lie = mutate.integer(rng, bits, offsets[0])
        offsets[rng.randrange(rows)] = lie - (1 << bits) if lie >> (bits - 1) else lie
    offsets[rows:] = [len(data)] * (len(offsets) - rows)
    packed = struct.pack(f"<{len(offsets)}{'q' if wide else 'i'}", *offsets)
    return ("U" if wide else "u"), [_validity(rng), packed, data + _PADDING]


def _views(rng: random.Random, rows: int) -> tuple[str, list[bytes | None]]:
    blocks = [b"x" * rng.choice((1, 13, 40)) for _ in range(rng.randrange(3))]
    views = b"".join(
        struct.pack("<i4sii", _i32(rng, 20), b"xxxx", _i32(rng, 1), _i32(rng, 0)) for _ in range(rows + 16)
    )
    sizes = struct.pack(f"<{len(blocks)}q", *map(len, blocks))
    padded: list[Any] = [block + _PADDING for block in blocks]
    return "vu", [_validity(rng), views + _PADDING, *padded, sizes]


def _i32(rng: random.Random, old: int) -> int:
    value = mutate.integer(rng, 32, old) if rng.random() < 0.5 else old
    return value - (1 << 32) if value >> 31 else value


def _read(given: Given) -> list[tuple[int, Any]]:
    found = []
    with Stream(given.table) as stream:
        for chunk in stream:
            found += [(len(chunk), chunk.column(number)) for number in range(len(stream.names))]
    return found


def _check(_: Given, found: list[tuple[int, Any]]) -> bool:
    for rows, (values, valid, texts) in found:
        if len(values) != rows or (valid is not None and len(valid) != rows):
            return False
        if texts is not None:
            codes = values if valid is None else values[valid]
            if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(texts):
                return False
    return True


ARROW: Final = Target(_make, _read, (ValueError, TypeError, RuntimeError), lambda _: 1 << 17, _check)  # type: ignore[arg-type]
