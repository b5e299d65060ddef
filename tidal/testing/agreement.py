"""assert_agrees: every answer of an engine, held to the twin's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tidal.schema import Duration, SignalType
from tidal.testing.model import ModelLedger

# A score may differ by this much of the decayed sum of absolute weights: rounding, in any order.
SCORE_TOLERANCE: Final = 1e-9
# Below this, near the smallest normal double, a sum has lost the bits to be compared to anything.
SCORE_FLOOR: Final = 1e-290


class Answers(Protocol):
    """The reads of a ledger."""

    def clock(self, signal: str) -> int | None: ...
    def score(
        self, signal: str, entity_id: int, *, at: int, half_life: Duration | int | None = None
    ) -> float: ...
    def scores(
        self, signal: str, ids: NDArray[np.uint64], *, at: int, half_life: Duration | int | None = None
    ) -> NDArray[np.float64]: ...
    def count(self, signal: str, entity_id: int, window: str, *, at: int) -> int: ...
    def counts(self, signal: str, ids: NDArray[np.uint64], window: str, *, at: int) -> NDArray[np.uint64]: ...
    def velocity(self, signal: str, entity_id: int, window: str, *, at: int) -> float: ...
    def velocities(
        self, signal: str, ids: NDArray[np.uint64], window: str, *, at: int
    ) -> NDArray[np.float64]: ...
    def top(
        self, signal: str, k: int, *, by: str = ..., at: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.float64]]: ...


def assert_agrees(
    ledger: Answers, model: ModelLedger, at: int, *, k: int = 5, absent: Sequence[int] = (77,)
) -> None:
    """Raise AssertionError unless the ledger answers every read at ``at`` as the twin does.

    Scores to SCORE_TOLERANCE, everything else exactly; one by one and in bulk; for all entities of each type
    and for ``absent`` ids that have no event.
    """
    for signal in model.schema:
        assert ledger.clock(signal.name) == model.clock(signal.name), f"clock of {signal.name}"
        ids = np.array([*absent, *model.entities(signal.name)], dtype=np.uint64)
        _assert_scores(ledger, model, signal, ids, at)
        _assert_counts(ledger, model, signal, ids, at)
        _assert_top(ledger, model, signal, k, at)


def score_tolerance(
    model: ModelLedger, signal: str, entity_id: int, at: int, half_life: Duration | int | None = None
) -> float:
    """Return by how much a right score may differ from the twin's."""
    return SCORE_TOLERANCE * model.magnitude(signal, entity_id, at, half_life) + SCORE_FLOOR


def _assert_scores(
    ledger: Answers, model: ModelLedger, signal: SignalType, ids: NDArray[np.uint64], at: int
) -> None:
    for position in range(max(1, len(signal.half_lives))):
        bulk = ledger.scores(signal.name, ids, at=at, half_life=position)
        assert bulk.dtype == np.float64
        assert bulk.shape == ids.shape
        for entity_id, got in zip(ids.tolist(), bulk.tolist(), strict=True):
            want = model.score(signal.name, entity_id, at, position)
            tolerance = score_tolerance(model, signal.name, entity_id, at, position)
            where = f"{signal.name} score of {entity_id} at {at}, half-life {position}"
            assert abs(got - want) <= tolerance, f"{where}: {got!r}, expected {want!r}"
            assert signal.signed or got >= 0.0, f"{where}: {got!r} is negative"
            single = ledger.score(signal.name, entity_id, at=at, half_life=position)
            assert abs(single - want) <= tolerance, f"{where}, read alone: {single!r}, expected {want!r}"


def _assert_counts(
    ledger: Answers, model: ModelLedger, signal: SignalType, ids: NDArray[np.uint64], at: int
) -> None:
    for window in (*signal.windows, "all"):
        bulk = ledger.counts(signal.name, ids, window, at=at)
        assert bulk.dtype == np.uint64
        want = [model.count(signal.name, entity_id, window, at) for entity_id in ids.tolist()]
        where = f"{signal.name} count.{window} at {at}"
        assert bulk.tolist() == want, where
        assert [ledger.count(signal.name, entity_id, window, at=at) for entity_id in ids.tolist()] == want, (
            where
        )
    for window in signal.windows if signal.velocity else ():
        bulk_velocity = ledger.velocities(signal.name, ids, window, at=at)
        rates = [model.velocity(signal.name, entity_id, window, at) for entity_id in ids.tolist()]
        where = f"{signal.name} velocity.{window} at {at}"
        assert bulk_velocity.tolist() == rates, where
        assert [
            ledger.velocity(signal.name, entity_id, window, at=at) for entity_id in ids.tolist()
        ] == rates, where


def _assert_top(ledger: Answers, model: ModelLedger, signal: SignalType, k: int, at: int) -> None:
    for window in (*signal.windows, "all"):
        _assert_top_exact(ledger, model, signal, k, f"count.{window}", at)
    for window in signal.windows if signal.velocity else ():
        _assert_top_exact(ledger, model, signal, k, f"velocity.{window}", at)
    _assert_top_scores(ledger, model, signal, k, at)


def _assert_top_exact(
    ledger: Answers, model: ModelLedger, signal: SignalType, k: int, by: str, at: int
) -> None:
    ids, values = ledger.top(signal.name, k, by=by, at=at)
    got = list(zip(ids.tolist(), values.tolist(), strict=True))
    assert got == model.top(signal.name, k, by, at), f"{signal.name} top by {by} at {at}"


def _assert_top_scores(ledger: Answers, model: ModelLedger, signal: SignalType, k: int, at: int) -> None:
    """Rounding may swap near-equal scores: check the order, each value, and who is left out."""
    name, entities = signal.name, model.entities(signal.name)
    ids, values = ledger.top(name, k, by="score", at=at)
    where = f"{name} top by score at {at}"
    got: dict[int, Any] = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert len(got) == len(ids) == min(k, len(entities)), where
    assert all(values[:-1] >= values[1:]), where
    for entity_id, value in got.items():
        want = model.score(name, entity_id, at)
        assert abs(value - want) <= score_tolerance(model, name, entity_id, at), f"{where}: {entity_id}"
    if not got:
        return
    last, lowest = list(got.items())[-1]
    slack = score_tolerance(model, name, last, at)
    for entity_id in set(entities) - got.keys():
        allowed = lowest + slack + score_tolerance(model, name, entity_id, at)
        assert model.score(name, entity_id, at) <= allowed, f"{where}: {entity_id} is left out"
