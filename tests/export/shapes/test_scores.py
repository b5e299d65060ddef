"""Scores of users and entities, against a dict of lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.export.shapes import scores as scores_module
from tidal.export.shapes.scores import SCORES, Scored, Scores

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # user
        st.sampled_from([0, 1, 2**63, 2**64 - 1]),  # entity
        st.floats(-1e6, 1e6, width=32),
        st.integers(-3, 3),  # time
    ),
    max_size=40,
)
RULES = st.sampled_from(SCORES)


def twin(events: list[tuple[int, int, float, int]], rule: str) -> dict[tuple[int, int], float]:
    groups: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for user, entity, reward, time in events:
        groups.setdefault((user, entity), []).append((reward, time))
    answer = {}
    for key in sorted(groups):
        rewards, times = zip(*groups[key], strict=True)
        total = 0.0
        for reward in rewards:
            total += reward
        newest = max(range(len(times)), key=lambda row: (times[row], row))
        answer[key] = {"sum": total, "mean": total / len(rewards), "last": rewards[newest]}[rule]
    return answer


def added(scores: Scores, events: list[tuple[int, int, float, int]]) -> None:
    user, entity, reward, time = zip(*events, strict=True) if events else ((), (), (), ())
    scores.add(np.array(user, np.uint64), np.array(entity, np.uint64), np.array(reward, np.float64),
               np.array(time, np.int64))  # fmt: skip


def as_dict(scored: Scored) -> dict[tuple[int, int], float]:
    keys = zip(scored.user.tolist(), scored.entity.tolist(), strict=True)
    return dict(zip(keys, scored.score.tolist(), strict=True))


@given(EVENTS, RULES, st.integers(1, 7))
def test_scores_are_the_twin_s_however_the_events_are_cut(
    events: list[tuple[int, int, float, int]], rule: str, cut: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "_FOLD_ROWS", 3)
        scores = Scores(rule)
        for start in range(0, len(events), cut):
            added(scores, events[start : start + cut])
        result = scores.result()
    want = twin(events, rule)
    assert list(as_dict(result).items()) == list(want.items())  # to the last bit, and in this order


def test_memory_is_by_distinct_users_and_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores_module, "_FOLD_ROWS", 1000)
    scores = Scores("sum")
    kept = 0
    for _ in range(100):
        added(scores, [(user, entity, 1.0, 0) for user in range(10) for entity in range(10)])
        kept = max(kept, sum(len(part.entity) for part in scores._parts))
    assert kept <= 1000 + 2 * 100
    assert set(as_dict(scores.result()).values()) == {100.0}
