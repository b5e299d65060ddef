"""SchemaBuilder: declares signal types one by one and refuses what a store could not keep."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Self

from tidal.errors import (
    DuplicateName,
    InvalidDuration,
    InvalidKind,
    InvalidName,
    InvalidWindow,
    SchemaError,
    TooManyHalfLives,
    TooManySignals,
    VelocityWithoutWindows,
)
from tidal.schema.durations import NS_PER_SECOND, Duration, format_duration, parse_duration
from tidal.schema.spec import (
    ALL,
    HALF_LIFE_MAX_NS,
    HALF_LIFE_MIN_NS,
    HALF_LIVES_MAX,
    KINDS,
    NAME_LENGTH_MAX,
    SIGNALS_PER_KIND_MAX,
    WINDOW_SECONDS,
    Schema,
    SignalType,
)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_WINDOW_BY_NS: Final = {seconds * NS_PER_SECOND: window for window, seconds in WINDOW_SECONDS.items()}
_WINDOWS_ALLOWED: Final = ", ".join(f'"{window}"' for window in WINDOW_SECONDS)


class SchemaBuilder:
    """Collects signal types; each call of ``signal`` is checked at once and returns the builder.

    >>> schema = SchemaBuilder().signal("view", half_life="7d", windows=("24h", "1h"), velocity=True).build()
    >>> schema.signal("view").windows
    ('1h', '24h')
    """

    def __init__(self) -> None:
        self._signals: list[SignalType] = []

    def signal(
        self,
        name: str,
        *,
        kind: str = "item",
        half_life: Duration | Iterable[Duration] | None = None,
        windows: Iterable[Duration] = (),
        velocity: bool = False,
        signed: bool = False,
    ) -> Self:
        """Declare a signal type and return the builder.

        ``half_life`` is one duration or up to three (the first is the default of reads); None means that
        scores never decay. ``windows`` are any of "1h", "24h", "7d"; the count of all events is always kept.
        ``velocity`` allows events per second over each window. ``signed`` allows negative weights.

        Raises a child of SchemaError that says what to write instead.
        """
        signal = SignalType(
            name=name,
            type_id=len(self._signals),
            kind=kind,
            half_lives=_parse_half_lives(name, half_life),
            windows=_parse_windows(name, windows),
            velocity=velocity,
            signed=signed,
        )
        check_signal(signal, self._signals)
        self._signals.append(signal)
        return self

    def build(self) -> Schema:
        """Return the schema; type ids are 0, 1, 2, ... in the order of declaration."""
        if not self._signals:
            raise SchemaError('a schema needs at least one signal type; call .signal("view") before .build()')
        return Schema(tuple(self._signals))


def check_signal(signal: SignalType, declared: Iterable[SignalType]) -> None:
    """Raise unless ``signal`` is valid and may be added to the types ``declared`` so far.

    The one place that holds the rules: for a schema that is being built and for one read from a file.
    """
    declared = tuple(declared)
    name = signal.name
    if not isinstance(name, str) or len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name!r} is not a name for a signal type; write a lower-case letter, then letters, digits "
            f"or underscores, {NAME_LENGTH_MAX} characters at most"
        )
    if any(other.name == name for other in declared):
        raise DuplicateName(f"signal type {name!r} is declared twice; give one of them another name")
    if signal.kind not in KINDS:
        raise InvalidKind(
            f"signal type {name!r}: kind {signal.kind!r} is not one of {', '.join(map(repr, KINDS))}"
        )
    if sum(other.kind == signal.kind for other in declared) >= SIGNALS_PER_KIND_MAX:
        raise TooManySignals(
            f"signal type {name!r} is number {SIGNALS_PER_KIND_MAX + 1} of kind {signal.kind!r}; "
            f"{SIGNALS_PER_KIND_MAX} fit. Put some on another kind, or use one type with user or session ids"
        )
    for option, value in (("velocity", signal.velocity), ("signed", signal.signed)):
        if not isinstance(value, bool):
            raise SchemaError(f"signal type {name!r}: {option}={value!r} is not a bool; write True or False")
    _check_half_lives(signal)
    _check_windows(signal)


def _check_half_lives(signal: SignalType) -> None:
    if len(signal.half_lives) > HALF_LIVES_MAX:
        raise TooManyHalfLives(
            f"signal type {signal.name!r} has {len(signal.half_lives)} half-lives, a record holds "
            f"{HALF_LIVES_MAX}; declare a second signal type for the others"
        )
    for position, ns in enumerate(signal.half_lives):
        if not HALF_LIFE_MIN_NS <= ns <= HALF_LIFE_MAX_NS:
            raise InvalidDuration(
                f"signal type {signal.name!r}: half-life {format_duration(ns)} is not between "
                f"{format_duration(HALF_LIFE_MIN_NS)} and {format_duration(HALF_LIFE_MAX_NS)}; "
                "leave half_life out for a score that never decays"
            )
        if ns in signal.half_lives[:position]:
            raise InvalidDuration(
                f"signal type {signal.name!r}: half-life {format_duration(ns)} is given twice; write it once"
            )


def _check_windows(signal: SignalType) -> None:
    if list(signal.windows) != [window for window in WINDOW_SECONDS if window in signal.windows]:
        raise InvalidWindow(
            f"signal type {signal.name!r}: windows {signal.windows!r} are not some of {_WINDOWS_ALLOWED}, "
            "shortest first and each once"
        )
    if signal.velocity and not signal.windows:
        raise VelocityWithoutWindows(
            f"signal type {signal.name!r}: velocity is a window's count over its length; "
            'add windows=("1h",) or leave velocity out'
        )


def _parse_half_lives(name: object, value: object) -> tuple[int, ...]:
    if value is None:
        return ()
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    try:
        return tuple(parse_duration(duration) for duration in given)
    except InvalidDuration as error:
        raise InvalidDuration(f"signal type {name!r}: half_life {error}") from None


def _parse_windows(name: object, value: object) -> tuple[str, ...]:
    """Return the windows' names, shortest first, each once; "1d" or timedelta(days=1) is "24h"."""
    if isinstance(value, (str, timedelta)) or not isinstance(value, Iterable):
        raise InvalidWindow(
            f'signal type {name!r}: windows={value!r} is not a tuple; write one such as windows=("1h", "24h")'
        )
    found = set()
    for window in value:
        if window == ALL:
            raise InvalidWindow(f"signal type {name!r}: {ALL!r} is always kept; leave it out of windows")
        try:
            found.add(_WINDOW_BY_NS[parse_duration(window)])
        except (InvalidDuration, KeyError):
            raise InvalidWindow(
                f"signal type {name!r}: window {window!r} cannot be kept; choose from {_WINDOWS_ALLOWED}"
            ) from None
    return tuple(window for window in WINDOW_SECONDS if window in found)
