"""Answers of a database: one entity, the candidates of a ranking, all of them."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.common import ENTITIES, SIGNAL, each_once, filled

CALLS = 1_000
CANDIDATES = 200


class Calls:
    """A thousand calls, each for another entity."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)

    def setup(self, entities: int) -> None:
        self.db = filled(entities, "system")
        self.ids = each_once(entities).ids[:CALLS].tolist()
        self.db.count(SIGNAL, self.ids[0], "1h")

    def time_score_1000(self, entities: int) -> None:
        for entity_id in self.ids:
            self.db.score(SIGNAL, entity_id)

    def time_count_1000(self, entities: int) -> None:
        for entity_id in self.ids:
            self.db.count(SIGNAL, entity_id, "1h")

    def time_velocity_1000(self, entities: int) -> None:
        for entity_id in self.ids:
            self.db.velocity(SIGNAL, entity_id, "24h")


class Candidates:
    """One call for 200 entities, by id."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)

    def setup(self, entities: int) -> None:
        self.db = filled(entities, "event")
        self.ids = each_once(entities).ids[:CANDIDATES]

    def time_scores(self, entities: int) -> None:
        self.db.scores(SIGNAL, self.ids)

    def time_counts(self, entities: int) -> None:
        self.db.counts(SIGNAL, self.ids, "24h")

    def time_rank(self, entities: int) -> None:
        self.db.rank(self.ids, {"view.velocity.1h": 1.0, "view.score": 3.0}, k=20)


class Everything:
    """All entities in one call."""

    params: ClassVar = (ENTITIES,)
    param_names: ClassVar = ("entities",)

    def setup(self, entities: int) -> None:
        self.db = filled(entities, "event")
        self.ids = each_once(entities).ids

    def time_scores(self, entities: int) -> None:
        self.db.scores(SIGNAL, self.ids)

    def time_read(self, entities: int) -> None:
        self.db.read(SIGNAL)

    def peakmem_read(self, entities: int) -> None:
        self.db.read(SIGNAL)
