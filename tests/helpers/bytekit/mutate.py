"""Values that break decoders, put into structures and bytes that were good."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from typing import Any, Final

INTERESTING: Final = sorted(
    {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 65535, 65536, 65537}
    | {(1 << bits) + offset for bits in (23, 24, 25, 26, 31, 32, 59, 61, 62, 63) for offset in (-1, 0, 1)}
    | {(1 << 64) - 1, (1 << 64) - 2}
)
JSON_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
    1 << 64, 10**400, 0.5, 1.0, -0.0, 1e308, math.inf, math.nan,
    "", "0", "view", "a" * 65, "x" * 5000, "\x00", "\ud800",
    "é\u202e", "../../etc", [], [[]], {}, {"": None}, [0] * 300, "ff" * 16, "FF" * 32, "0" * 64,
)  # fmt: skip


def integer(rng: random.Random, bits: int, old: int) -> int:
    """Return another value for an unsigned field: a boundary, a neighbour, a flipped bit, or anything."""
    top = (1 << bits) - 1
    choice = rng.randrange(5)
    if choice <= 1:
        return rng.choice(INTERESTING) & top
    if choice == 2:
        return (old + rng.choice((-1, 1, -2, 2, 8, -8, 64))) & top
    if choice == 3:
        return old ^ 1 << rng.randrange(bits)
    return rng.getrandbits(bits)


def fields(rng: random.Random, form: struct.Struct, values: Sequence[Any], but: frozenset[int]) -> bytes:
    """Return the structure packed with some of its fields changed; those numbered in ``but`` stay."""
    changed = list(values)
    numbers = [number for number in range(len(changed)) if number not in but]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        number = rng.choice(numbers)
        changed[number] = _field(rng, form, values, number)
    return form.pack(*changed)


def _field(rng: random.Random, form: struct.Struct, values: Sequence[Any], number: int) -> Any:
    value = values[number]
    if isinstance(value, bytes):
        return some_bytes(rng, value, keep_length=True)
    signed, bits = _codes(form)[number]
    changed = integer(rng, bits, value & (1 << bits) - 1)
    return changed - (1 << bits) if signed and changed >> (bits - 1) else changed


def _codes(form: struct.Struct) -> list[tuple[bool, int]]:
    """Return (signed, bits) of each field."""
    found, digits = [], ""
    for code in form.format.lstrip("<"):
        if code.isdigit():
            digits += code
        else:
            found += [(code.islower(), 8 * struct.calcsize("<" + code))] * (
                1 if code == "s" else int(digits or 1)
            )
            digits = ""
    return found


def some_bytes(rng: random.Random, old: bytes, *, keep_length: bool = False) -> bytes:
    """Return the bytes changed without regard to what they mean."""
    data = bytearray(old)
    for _ in range(rng.choice((1, 1, 2, 4))):
        choice = rng.randrange(4 if keep_length else 7)
        at = rng.randrange(len(data)) if data else 0
        size = rng.choice((1, 1, 2, 4, 8, 16, 64))
        if not data:
            data += rng.randbytes(size)
        elif choice == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif choice == 1:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif choice == 2:
            number = (rng.choice(INTERESTING) & (1 << 64) - 1).to_bytes(8, "little")
            end = min(len(data), at + size)
            data[at:end] = number.ljust(size, b"\0")[: end - at]
        elif choice == 3:
            end = min(len(data), at + size)
            data[at:end] = rng.randbytes(end - at)
        elif choice == 4:
            del data[at : at + size]
        elif choice == 5:
            data[at:at] = data[at : at + size] if rng.random() < 0.5 else rng.randbytes(size)
        else:
            del data[at:]
    return bytes(data[: len(old)].ljust(len(old), b"\0")) if keep_length else bytes(data)


def json_value(rng: random.Random, value: Any) -> Any:
    """Return a copy of a JSON value with something in it changed, removed, added or put elsewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        return _json_object(rng, value)
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        choice = rng.randrange(4)
        if choice == 0:
            return value[:at] + value[at + 1 :]
        if choice == 1:
            return value[: at + 1] + value[at:]
        return [*value[:at], json_value(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return integer(rng, 64, value & (1 << 64) - 1) * rng.choice((1, 1, 1, -1))
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(("", "0", "z", "A", "\x00", "é", value)) + value[at + 1 :]
    return rng.choice(JSON_VALUES)


def _json_object(rng: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    changed = dict(value)
    name = rng.choice(sorted(changed))
    choice = rng.randrange(8)
    if choice == 0:
        del changed[name]
    elif choice == 1:
        changed[rng.choice(("extra", "", "format", name + " "))] = changed[name]
    elif choice == 2:
        changed[name] = changed[rng.choice(sorted(changed))]
    else:
        changed[name] = json_value(rng, changed[name])
    return changed
