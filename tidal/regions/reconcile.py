"""ReconciliationEngine: what another region lacks, and what comes from it, for all that regions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidal.errors import FormatError
from tidal.records import record
from tidal.regions.coding import Reader, ascending, blob
from tidal.regions.parts import Lack, Part

_NAME_BYTES_MAX: Final = 64
_BYTES_MAX: Final = (1 << 32) - 1

Summary = Mapping[str, bytes]
"""What somebody has, in short: by the name of each part."""


@record
class Plan:
    """What somebody lacks. Nothing is encoded before it is asked for."""

    lacks: tuple[Lack, ...] = ()

    def encode(self) -> list[bytes]:
        """Return the bytes of each thing that is lacking, for apply() of the one who lacks it."""
        return [encode_lack(lack) for lack in self.lacks]


class ReconciliationEngine:
    """Brings parts to the state of another region, and the other to this one's.

    ``plan`` says what somebody with a summary lacks; ``apply`` takes the bytes of that. Applying twice, or in
    another order, changes nothing more. Parts of other names, as a newer version may have, are passed over.

    >>> from tidal.regions import NamedValues, PNCounter, HybridClock, ValuesPart
    >>> here, there = NamedValues(), NamedValues()
    >>> here.update("clicks", lambda: PNCounter().add(1, 5))
    >>> clock = HybridClock(1, lambda: 0)
    >>> a, b = (ReconciliationEngine({"values": ValuesPart(it, clock)}) for it in (here, there))
    >>> [b.apply(it) for it in a.plan(b.summary()).encode()], there.counter("clicks").value
    ([True], 5)
    >>> a.plan(b.summary()).lacks
    ()
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)

    def summary(self) -> dict[str, bytes]:
        """Return what is here, in short."""
        return {name: part.summary() for name, part in self._parts.items()}

    def plan(self, other: Summary) -> Plan:
        """Return what somebody with a summary lacks of what is here. FormatError for what is no summary."""
        found = [
            lack
            for name, theirs in other.items()
            if name in self._parts
            for lack in self._parts[name].lacking(name, theirs)
        ]
        return Plan(tuple(found))

    def apply(self, data: bytes) -> bool:
        """Take one thing of a plan and return whether it changed anything.

        FormatError or ClockSkew, with nothing changed, for what is damaged, foreign or of a wrong clock.
        """
        name, body = decode_lack(data)
        if name not in self._parts:
            return False
        decoded: Any = self._parts[name].decode(body)
        return self._parts[name].take(decoded)


def encode_lack(lack: Lack) -> bytes:
    """Return the bytes of something lacking: the name of its part, and what the part makes of it."""
    return blob(lack.part.encode()) + lack.encode()


def decode_lack(data: bytes) -> tuple[str, bytes]:
    """Return the name and the part's own bytes; FormatError where there is no name."""
    reader = Reader(data)
    name = _name(reader)
    return name, bytes(reader.take(reader.left))


def encode_summary(summary: Summary) -> bytes:
    """Return the bytes of a summary."""
    return b"".join(blob(name.encode()) + blob(summary[name]) for name in sorted(summary))


def decode_summary(data: bytes) -> dict[str, bytes]:
    """Return what encode_summary wrote; FormatError for anything else."""
    reader = Reader(data)
    found: list[tuple[str, bytes]] = []
    while reader.left:
        found.append((_name(reader), reader.blob(_BYTES_MAX)))
    ascending([name for name, _ in found])
    return dict(found)


def _name(reader: Reader) -> str:
    try:
        return reader.blob(_NAME_BYTES_MAX).decode()
    except UnicodeDecodeError:
        raise FormatError("the name of a part is not UTF-8") from None
