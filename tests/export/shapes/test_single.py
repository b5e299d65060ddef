"""One entity a row: labels, and prompts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tidal

if TYPE_CHECKING:
    from .conftest import Account, Record, Rows

THUMBS = {"like": 1.0, "dislike": -1.0}


def test_kto_labels_what_an_entity_got_from_all(rows: Rows, record: Record, account_of: Account) -> None:
    record(("like", 2, 1, 1.0), ("dislike", 1, 1, 1.0), ("dislike", 1, 2, 1.0), ("like", 1, 3, 1.0),
           ("like", 3, 1, 1.0), ("dislike", 3, 2, 1.0))  # fmt: skip
    assert rows(shape="kto", rewards=THUMBS) == [
        {"prompt": "A?", "completion": "reply 1", "label": False, "score": -1.0, "entity_id": "1"},
        {"prompt": "A?", "completion": "reply 2", "label": True, "score": 1.0, "entity_id": "2"},
    ]
    assert account_of(shape="kto", rewards=THUMBS) == {
        "events": 6, "scores": 3, "neutral": 1, "entities": 3, "rows": 2
    }  # fmt: skip


def test_kto_by_user_is_an_opinion_a_row(rows: Rows, record: Record, account_of: Account) -> None:
    record(("like", 2, 9, 1.0), ("dislike", 2, 3, 1.0), ("like", 1, 9, 1.0), ("like", 1, None, 1.0))
    found = rows(shape="kto", pairing="user", rewards=THUMBS, ids="number")
    assert [(row["user_id"], row["entity_id"], row["label"]) for row in found] == [
        (3, 2, False), (9, 1, True), (9, 2, True)
    ]  # fmt: skip
    assert account_of(shape="kto", pairing="user", rewards=THUMBS)["events_without_user"] == 1


@pytest.mark.parametrize(("score", "expected"), [("sum", 3.0), ("mean", 1.0), ("last", -2.0)])
def test_the_score_is_what_was_asked_for(
    replies: tidal.TidalDb, rows: Rows, score: str, expected: float
) -> None:
    for weight, time in ((4.0, 10), (-2.0, 30), (1.0, 20)):
        replies.signal("rating", 1, weight, timestamp=time)
    (row,) = rows(shape="kto", score=score)
    assert row["score"] == expected
    assert row["label"] is (expected > 0)


def test_thresholds_are_of_the_score(rows: Rows, record: Record) -> None:
    record(*[("rating", item, 1, float(item)) for item in (1, 2, 3, 4, 5)])
    found = rows(shape="kto", liked_above=3.0, disliked_below=3.0)
    assert [(row["entity_id"], row["label"]) for row in found] == [
        ("1", False), ("2", False), ("4", True), ("5", True)
    ]  # fmt: skip


def test_types_that_are_not_named_in_rewards_count_by_their_weight(rows: Rows, record: Record) -> None:
    record(("like", 1, 1, 1.0), ("dislike", 1, 1, 5.0), ("rating", 1, 1, 2.0))
    types = ["like", "dislike", "rating"]
    assert [row["score"] for row in rows(shape="kto", signal_types=types, rewards={"dislike": -1})] == [-2.0]
    assert [row["score"] for row in rows(shape="kto", rewards={"dislike": -1.0})] == [-5.0]  # no others
    assert [row["score"] for row in rows(shape="kto")] == [8.0]


def test_prompt_only_is_each_prompt_once(rows: Rows, record: Record) -> None:
    record(("like", 5, 1, 1.0), ("like", 3, 1, 1.0), ("like", 6, 1, 1.0), ("like", 7, 1, 1.0))
    assert rows(shape="prompt_only") == [{"prompt": "A?"}, {"prompt": "B?"}]  # 3 comes before 5
    assert rows(shape="prompt_only", conversational=True)[0] == {"prompt": [("user", "A?")]}
