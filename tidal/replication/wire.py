"""Numbers, texts and bytes of a message, read with every length checked against what is there."""

from __future__ import annotations

import struct
from typing import Any

from tidal.errors import FormatError

_SIZE = struct.Struct("<I")


class Reader:
    """Reads a message from a position on; FormatError where it ends too early."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position

    @property
    def at_end(self) -> bool:
        return self._position == len(self._data)

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._position:
            raise FormatError("the message ends too early")
        self._position += size
        return self._data[self._position - size : self._position]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._position)

    def byte(self) -> int:
        return self.take(1)[0]

    def flag(self) -> bool:
        if (value := self.byte()) > 1:
            raise FormatError(f"{value} is neither 0 nor 1")
        return bool(value)

    def sized(self) -> bytes:
        """Return bytes with their length before them."""
        return self.take(*_SIZE.unpack(self.take(_SIZE.size)))

    def text(self, most: int) -> str:
        """Return text of 1 to ``most`` bytes, with their number in one byte before them."""
        size = self.byte()
        if not 1 <= size <= most:
            raise FormatError(f"a text of {size} bytes")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"a text that is none: {error}") from None

    def end(self) -> None:
        if not self.at_end:
            raise FormatError("there are bytes after the message's end")


def sized(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    return _SIZE.pack(len(data)) + data
