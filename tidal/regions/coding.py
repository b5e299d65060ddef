"""Bytes of values that regions exchange: written in one form only, read with every bound checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from tidal.errors import FormatError

NODE_MAX: Final = (1 << 16) - 1
U64_MAX: Final = (1 << 64) - 1

_U32: Final = struct.Struct(">I")


class Reader:
    """What is left of some bytes. Every method raises FormatError where they end too early."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._at = memoryview(data), 0

    @property
    def left(self) -> int:
        """How many bytes were not read yet."""
        return len(self._data) - self._at

    def take(self, length: int) -> memoryview:
        """Return the next so many bytes."""
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise FormatError(f"{len(self._data)} bytes, and {end} are needed")
        part, self._at = self._data[self._at : end], end
        return part

    def fields(self, form: struct.Struct) -> tuple[Any, ...]:
        """Return the values of one struct."""
        return form.unpack(self.take(form.size))

    def rows(self, form: struct.Struct) -> Iterator[tuple[Any, ...]]:
        """Return the values of as many structs as a count before them says."""
        (count,) = self.fields(_U32)
        return form.iter_unpack(self.take(count * form.size))

    def blob(self, most: int) -> bytes:
        """Return bytes with their length before them; FormatError for more than ``most``."""
        (length,) = self.fields(_U32)
        if length > most:
            raise FormatError(f"{length} bytes where at most {most} may be")
        return bytes(self.take(length))

    def end(self) -> None:
        """Raise FormatError unless all was read."""
        if self.left:
            raise FormatError(f"{self.left} bytes too many")


def rows(form: struct.Struct, values: list[tuple[Any, ...]]) -> bytes:
    """Return what Reader.rows() reads."""
    return _U32.pack(len(values)) + b"".join(form.pack(*row) for row in values)


def blob(data: bytes) -> bytes:
    """Return what Reader.blob() reads."""
    return _U32.pack(len(data)) + data


def ascending(keys: list[Any]) -> None:
    """Raise FormatError unless each key is above the one before: then equal values have equal bytes."""
    if any(low >= high for low, high in pairwise(keys)):
        raise FormatError("keys are not in ascending order")
