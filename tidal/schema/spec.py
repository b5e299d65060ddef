"""What a schema is: frozen values, their limits, and the JSON form that is saved with a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from tidal.errors import SchemaError, UnknownMeasure, UnknownSignalType
from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND, Duration, format_duration, parse_duration

KINDS: Final = ("item", "user", "creator")
WINDOW_SECONDS: Final[Mapping[str, int]] = {"1h": 3600, "24h": 86400, "7d": 604800}
ALL: Final = "all"  # the window that is always there

HALF_LIVES_MAX: Final = 3
SIGNALS_PER_KIND_MAX: Final = 64
NAME_LENGTH_MAX: Final = 64
HALF_LIFE_MIN_NS: Final = 1_000_000  # 1 ms
HALF_LIFE_MAX_NS: Final = 36525 * 86400 * NS_PER_SECOND  # 100 years


@record
class SignalType:
    """One declared event stream.

    ``half_lives`` are in ns, the first is the default; none means that scores do not decay.
    """

    name: str
    type_id: int
    kind: str = "item"
    half_lives: tuple[int, ...] = ()
    windows: tuple[str, ...] = ()
    velocity: bool = False
    signed: bool = False

    def half_life_position(self, half_life: Duration | int | None) -> int:
        """Return which sum holds this half-life, given by value ("30d") or position (0, 1, 2)."""
        if half_life is None:
            return 0
        if isinstance(half_life, int):
            if 0 <= half_life < max(1, len(self.half_lives)):
                return half_life
        elif (ns := parse_duration(half_life)) in self.half_lives:
            return self.half_lives.index(ns)
        declared = ", ".join(format_duration(h) for h in self.half_lives) or "none (permanent)"
        raise UnknownMeasure(
            f"signal type {self.name!r} has no half-life {half_life!r}; declared: {declared}"
        )

    def check_window(self, window: str, *, velocity: bool = False) -> None:
        """Raise UnknownMeasure unless the count (or velocity) over this window is kept."""
        if velocity and not self.velocity:
            raise UnknownMeasure(f"signal type {self.name!r} was declared without velocity=True")
        if window not in self.windows and (velocity or window != ALL):
            declared = ", ".join(self.windows if velocity else (*self.windows, ALL)) or "none"
            raise UnknownMeasure(
                f"signal type {self.name!r} keeps no window {window!r}; declared: {declared}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as the saved schema has them (docs/format/schema.md)."""
        return {
            "name": self.name,
            "type_id": self.type_id,
            "kind": self.kind,
            "half_lives_ns": list(self.half_lives),
            "windows": list(self.windows),
            "velocity": self.velocity,
            "signed": self.signed,
        }


@record
class Schema:
    """The signal types of a store. Build one with SchemaBuilder."""

    signals: tuple[SignalType, ...]
    _by_name: dict[str, SignalType] = field(init=False, repr=False, compare=False)
    _by_id: dict[int, SignalType] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {s.name: s for s in self.signals})
        object.__setattr__(self, "_by_id", {s.type_id: s for s in self.signals})

    def __iter__(self) -> Iterator[SignalType]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the signal types, in order of declaration."""
        return tuple(self._by_name)

    def signal(self, name: str) -> SignalType:
        """Return the type of this name, or raise UnknownSignalType with close matches."""
        try:
            return self._by_name[name]
        except (KeyError, TypeError):
            raise UnknownSignalType(name, self._by_name) from None

    def by_id(self, type_id: int) -> SignalType:
        """Return the type that the log means by this id; SchemaError where there is none."""
        try:
            return self._by_id[type_id]
        except KeyError:
            raise SchemaError(f"no signal type has id {type_id}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the signal types as the saved schema has them."""
        return {"signals": [s.to_dict() for s in self.signals]}
