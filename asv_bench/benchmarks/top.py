"""The hundred best of all entities."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.common import ENTITIES, SIGNAL, filled


class Top:
    """top(100) by each kind of measure."""

    params: ClassVar = (ENTITIES, ("score", "count.1h", "count.all", "velocity.24h"))
    param_names: ClassVar = ("entities", "by")

    def setup(self, entities: int, by: str) -> None:
        self.db = filled(entities, "event")

    def time_top_100(self, entities: int, by: str) -> None:
        self.db.top(SIGNAL, 100, by=by)
