"""tidal.records: a record is what ``dataclass(frozen=True, slots=True)`` makes of the same class."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tidal.records import record


def declare(decorator: Callable[[type[Any]], Any]) -> Any:
    """One class, made by this decorator."""

    @decorator
    class Thing:
        """A thing."""

        number: int
        label: str = "none"
        parts: list[int] = field(default_factory=list)
        secret: str = field(default="", repr=False, compare=False)
        twice: int = field(init=False, repr=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.number)

    return Thing


MINE, STANDARD = declare(record), declare(dataclass(frozen=True, slots=True))


@record
class Point:
    """Two fields, one with a default."""

    x: int
    y: int = 0


@record
class Single:
    """One field: the tuple of values is still a tuple."""

    value: str


@record
class Custom:
    """What a class defines itself stays."""

    value: int

    def __repr__(self) -> str:
        return "custom"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom)

    def __hash__(self) -> int:
        return 7


def test_it_is_made_and_shown_as_the_standard_one() -> None:
    for arguments in ((1,), (1, "a"), (1, "a", [2])):
        mine, standard = MINE(*arguments), STANDARD(*arguments)
        assert repr(mine) == repr(standard)
        assert dataclasses.asdict(mine) == dataclasses.asdict(standard)
        assert mine.twice == 2
    assert MINE.__slots__ == STANDARD.__slots__
    assert MINE.__match_args__ == STANDARD.__match_args__
    assert MINE(1).parts is not MINE(1).parts, "each has a list of its own"
    assert not hasattr(MINE(1), "__dict__")


def test_its_signature_says_the_same() -> None:
    mine = inspect.signature(Point)
    assert list(mine.parameters) == ["x", "y"]
    assert mine.parameters["y"].default == 0
    assert mine.parameters["x"].annotation == "int"


@pytest.mark.parametrize("arguments", [(), (1, "a", [], "", 4)])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        MINE(*arguments)


def test_equality_looks_at_the_class_and_at_what_is_compared() -> None:
    assert MINE(1, secret="x") == MINE(1, secret="y")
    assert MINE(1) != MINE(2)
    assert MINE(1) != STANDARD(1)
    assert Point(1) != (1, 0)
    assert {Point(1), Point(1, 0), Point(2)} == {Point(1), Point(2)}
    assert hash(Point(1)) == hash(dataclasses.replace(Point(3), x=1))
    assert hash(Single("a")) == hash(Single("a")) != hash(Single("b"))
    with pytest.raises(TypeError, match="unhashable"):
        hash(MINE(1))  # by its list, as the standard one


def test_nothing_of_it_can_be_set_or_deleted() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError, match="'z'"):
        point.z = 2  # type: ignore[attr-defined]
    assert point == Point(1)


@pytest.mark.parametrize("one", [Point(1, 2), Single("a")], ids=repr)
def test_it_can_be_copied(one: Point | Single) -> None:
    assert copy.deepcopy(one) == copy.copy(one) == one
    assert copy.copy(one) is not one


def test_what_a_class_defines_itself_stays() -> None:
    assert repr(Custom(1)) == "custom"
    assert Custom(1) == Custom(2)
    assert hash(Custom(1)) == 7
