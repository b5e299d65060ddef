"""Options that several functions of this part take: checked."""

from __future__ import annotations

from typing import Literal

from tidal.errors import InvalidOption

OnDamage = Literal["raise", "skip"]


def skips(on_damage: object) -> bool:
    """Return whether damage is to be left out."""
    if on_damage not in ("raise", "skip"):
        raise InvalidOption(f'on_damage={on_damage!r}: choose "raise" or "skip"')
    return on_damage == "skip"


def flag(name: str, value: object) -> bool:
    """Return True or False; InvalidOption for anything else."""
    if type(value) is not bool:
        raise InvalidOption(f"{name}={value!r}: choose True or False")
    return value
