"""Requests that are refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from tidal.errors import InvalidOption
from tidal.export.shapes import TrainingRequest


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"shape": "dpo"}, "shape is 'dpo'; it is one of 'flat', 'kto'"),
        ({"shape": ["kto"]}, "shape is"),
        ({"pairing": "session"}, "pairing is"),
        ({"score": "max"}, "score is"),
        ({"ids": "hex"}, "ids is"),
        ({"source": "votes"}, "source is"),
        ({"margin": -1.0}, "margin"),
        ({"margin": float("nan")}, "finite"),
        ({"liked_above": "0"}, "finite"),
        ({"liked_above": -1.0}, "swap"),
        ({"pairs_per_prompt": 0}, "at least 1"),
        ({"limit": True}, "at least 1"),
        ({"rewards": ["like"]}, "a factor by type"),
        ({"rewards": {"like": float("inf")}}, "finite"),
        ({"rewards": {"like": 1e13}}, "at most 1e"),
        ({"rewards": {"like": 1.0}, "signal_types": ["view"]}, "signal_types leaves out"),
        ({"prompt_field": None}, "name of a field"),
        ({"default_prompt": 1}, "a text, or None"),
        ({"columns": ["label"]}, "a name by column"),
        ({"conversational": True}, "flat"),
        ({"source": "hints", "shape": "kto"}, "gives pairs"),
        ({"source": "hints", "shape": "preference", "pairing": "user"}, "leave rewards"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        TrainingRequest(**fields)


def test_a_manifest_has_what_is_not_usual() -> None:
    request = TrainingRequest(shape="kto", rewards={"like": 2.0}, limit=5, columns={"score": None}, since=3)
    assert request.to_dict() == {
        "shape": "kto", "rewards": {"like": 2.0}, "limit": 5, "columns": {"score": None}
    }  # fmt: skip
    assert request.selection().since == 3
    assert request.selection().limit is None
    assert TrainingRequest(limit=5, all=True).selection().limit == 5  # flat: rows are events
