"""Values that are made when they are looked at, but not more often than they are worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

SHARE_MAX: Final = 0.05  # of the time, spent on making one value anew

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """What ``make`` returned, for ``seconds`` at least; longer where making it takes long.

    So many people may look at once, and looking never takes more than SHARE_MAX of the time for one value.
    An error of ``make`` is raised, and nothing kept. Calls must not overlap.

    >>> now = [0.0]
    >>> kept = Kept(lambda: now[0], 1.0, clock=lambda: now[0])
    >>> kept.get(), now.__setitem__(0, 0.9), kept.get(), now.__setitem__(0, 1.0), kept.get()
    (0.0, None, 0.0, None, 1.0)
    """

    def __init__(self, make: Callable[[], _T], seconds: float, *, clock: Callable[[], float]) -> None:
        self._make, self._seconds, self._clock = make, seconds, clock
        self._value: tuple[_T] | None = None
        self._until = 0.0

    def get(self) -> _T:
        began = self._clock()
        if self._value is None or began >= self._until:
            self._value = None
            self._value = (self._make(),)
            ended = self._clock()
            self._until = max(began + self._seconds, ended + (ended - began) / SHARE_MAX)
        return self._value[0]
