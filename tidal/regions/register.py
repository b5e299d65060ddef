"""LWWRegister: a value of which the last write wins."""

from __future__ import annotations

from typing import Final

from tidal.errors import FormatError, InvalidOption
from tidal.records import record
from tidal.regions.clock import NEVER, Stamp
from tidal.regions.coding import Reader, blob

VALUE_BYTES_MAX: Final = 1 << 16


@record
class LWWRegister:
    """Bytes, and when they were written by a hybrid clock.

    The later write wins. Two writes of one stamp cannot come from one clock; where they do come, from two
    nodes that were given one number, the larger bytes win, so that all replicas still agree.

    >>> a = LWWRegister().write(b"on", Stamp(10, 0, 1))
    >>> b = LWWRegister().write(b"off", Stamp(11, 0, 2))
    >>> a.merge(b).value, b.merge(a).value
    (b'off', b'off')
    """

    value: bytes = b""
    stamp: Stamp = NEVER

    def write(self, value: bytes, stamp: Stamp) -> LWWRegister:
        """Return the register after a write: as it was, if that is not the last."""
        if not isinstance(value, bytes) or len(value) > VALUE_BYTES_MAX:
            raise InvalidOption(
                f"a register holds at most {VALUE_BYTES_MAX} bytes; encode the value to bytes"
            )
        return self.merge(LWWRegister(value, stamp))

    def merge(self, other: LWWRegister) -> LWWRegister:
        """Return the one that was written last."""
        return max(self, other, key=lambda it: (it.stamp, it.value))

    def encode(self) -> bytes:
        """Return the bytes of the register; equal registers have equal bytes."""
        return self.stamp.encode() + blob(self.value)

    @classmethod
    def decode(cls, data: bytes) -> LWWRegister:
        """Return what encode() wrote; FormatError for anything else."""
        reader = Reader(data)
        found = cls(stamp=Stamp.read(reader), value=reader.blob(VALUE_BYTES_MAX))
        reader.end()
        if found.stamp == NEVER and found.value:
            raise FormatError("a value that was never written")
        return found
