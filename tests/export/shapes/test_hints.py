"""Pairs that sessions were told."""

from __future__ import annotations

from typing import Any

import tidal


def test_hints_are_pairs(replies: tidal.TidalDb) -> None:
    with replies.session(user_id=7, agent="ranker") as session:
        session.hint(chosen=2, rejected=1)
        session.hint(chosen=3, rejected=5, prompt="Which?", strength=0.25)
        session.hint(chosen=1, rejected=6)  # which has no completion
        session.hint(chosen=7, rejected=1, prompt="C?")  # has no prompt of its own
        session.hint(chosen=1, rejected=2, strength=-1.0)
        session.annotate(1, "good")
    replies.flush()
    request = tidal.TrainingRequest(shape="preference", source="hints", all=True)
    table = replies.export_training(request)
    found = list(table.rows())
    assert [(row["prompt"], row["score_chosen"], row["score_rejected"]) for row in found] == [
        ("A?", 1.0, 0.0), ("Which?", 0.25, 0.0), ("C?", 1.0, 0.0)
    ]  # fmt: skip
    pairs = [(row["chosen_id"], row["rejected_id"]) for row in found]
    assert pairs == [("2", "1"), ("3", "5"), ("7", "1")]
    assert {(row["user_id"], row["session_id"]) for row in found} == {("7", str(session.id))}
    account = table.info["account"]
    assert (account["hints"], account["neutral"], account["without_completion"]) == (5, 1, 1)


def test_hints_of_a_user_and_about_items_only(replies: tidal.TidalDb) -> None:
    with replies.session(user_id=7, agent="ranker") as session:
        session.hint(chosen=2, rejected=1, kind="creator")
        session.hint(chosen=2, rejected=1)
    with replies.session(user_id=8, agent="ranker") as session:
        session.hint(chosen=1, rejected=2, strength=3.0)
    replies.flush()

    def read(**fields: Any) -> tuple[list[str], dict[str, Any]]:
        request = tidal.TrainingRequest(shape="preference", source="hints", all=True, **fields)
        table = replies.export_training(request)
        return [row["chosen_id"] for row in table.rows()], dict(table.info["account"])

    found, account = read()
    assert found == ["2", "1"]
    assert account["hints_of_other_kinds"] == 1
    assert read(user_id=7)[0] == ["2"]
    assert read(margin=2.0)[0] == ["1"]
    assert read(limit=1)[0] == ["2"]
