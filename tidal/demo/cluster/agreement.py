"""Whether stores answer the same, number by number and byte by byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tidal.db import TidalDb
from tidal.demo.history import fill
from tidal.demo.retail import OrderLines, retail_schema
from tidal.opening import open as open_db

REPLAY: Final = "replay"
SHOWN: Final = (("purchase", "score", 3), ("purchase", "count.7d", 2), ("cancel", "score", 2))


@dataclass(frozen=True, slots=True)
class Answer:
    """One number of one product, as each store answers it."""

    measure: str  # "purchase.score"
    product: str
    title: str
    values: Mapping[str, float | int | None]  # by store; None: it does not know the product


@dataclass(frozen=True, slots=True)
class State:
    """A store as a whole. ``differing``: of its numbers, those that the replay has otherwise."""

    events: int
    numbers: int
    differing: int
    digest: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the stores answer, and a replay of the rows into a database in memory."""

    answers: tuple[Answer, ...]
    states: Mapping[str, State]  # by store, the replay first

    @property
    def equal(self) -> bool:
        """Whether every store has each number of the replay, and its state byte for byte."""
        states = list(self.states.values())
        return all(
            (it.events, it.digest, it.differing) == (states[0].events, states[0].digest, 0) for it in states
        )


def compare_stores(stores: Mapping[str, Path], lines: OrderLines) -> Agreement:
    """Hold stores by name to a replay of the rows."""
    with open_db(schema=retail_schema(), clock="event") as replay:
        fill(replay, lines, 0, len(lines))
        states = {REPLAY: _state(replay, replay)}
        shown = _chosen(replay)
        values = {REPLAY: [_value(replay, *it) for it in shown]}
        for name, path in stores.items():
            with open_db(path, clock="event", read_only=True) as db:
                states[name] = _state(db, replay)
                values[name] = [_value(db, *it) for it in shown]
        titles = lines.titles()
        answers = []
        for place, (signal, measure, entity) in enumerate(shown):
            product = str(replay.key_of(entity))
            of_stores = {name: numbers[place] for name, numbers in values.items()}
            answers.append(Answer(f"{signal}.{measure}", product, titles.get(product, product), of_stores))
        return Agreement(tuple(answers), states)


def _chosen(db: TidalDb) -> list[tuple[str, str, int]]:
    """Return (signal type, measure, entity) of the best of each measure that is shown."""
    return [
        (signal, measure, entity)
        for signal, measure, k in SHOWN
        for entity in db.top(signal, k, by=measure).ids.tolist()
    ]


def _value(db: TidalDb, signal: str, measure: str, entity: int) -> float | int | None:
    columns = db.read(signal)
    found = np.flatnonzero(columns["entity_id"] == entity)
    value: float | int | None = columns[measure][found[0]].item() if len(found) else None
    return value


def _state(db: TidalDb, replay: TidalDb) -> State:
    numbers = differing = 0
    for signal in replay.schema:
        mine, theirs = _sorted(db, signal.name), _sorted(replay, signal.name)
        for name, column in theirs.items():
            numbers += len(column)
            same_length = len(mine[name]) == len(column)
            differing += int((mine[name] != column).sum()) if same_length else len(column)
    return State(db.last_seq, numbers, differing, db.state_digest().hex())


def _sorted(db: TidalDb, signal: str) -> dict[str, np.ndarray]:
    columns = dict(db.read(signal))
    order = np.argsort(columns["entity_id"])
    return {name: column[order] for name, column in columns.items()}
