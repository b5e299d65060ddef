"""What shows only from one look to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from tidal.schema.durations import NS_PER_SECOND

TOLD_NS: Final = 600 * NS_PER_SECOND  # for so long a thing of one moment is told
_LOOKS_KEPT: Final = 1_024


class Recent:
    """How much counts grew of late, from look to look."""

    def __init__(self) -> None:
        self._looks: dict[str, deque[tuple[int, int]]] = {}  # name -> (uptime, count) where it changed

    def grown(self, name: str, count: int, uptime: int) -> int:
        """Return by how much a count grew in the last ten minutes; it began at 0."""
        looks = self._looks.get(name)
        if looks is None or count < looks[-1][1]:  # it was begun anew
            looks = self._looks[name] = deque([(uptime, 0)], _LOOKS_KEPT)
        if count != looks[-1][1]:
            looks.append((uptime, count))
        while len(looks) > 1 and looks[1][0] < uptime - TOLD_NS:
            looks.popleft()
        return count - looks[0][1]


class Still:
    """Since when places stand still that should move, from look to look."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}  # name -> where it is, and since when it stands there

    def times(self, places: Mapping[str, int], uptime: int) -> Iterator[tuple[str, int, int]]:
        """Yield the name of each place, where it is, and the ns since it moved or first should have."""
        before, self._seen = self._seen, {}
        for name, place in sorted(places.items()):
            at, since = before.get(name, (place, uptime))
            since = since if at == place else uptime
            self._seen[name] = place, since
            yield name, place, uptime - since
