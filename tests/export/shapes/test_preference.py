"""Pairs of one prompt, of one user, of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tidal

if TYPE_CHECKING:
    from .conftest import Account, Record, Rows

THUMBS = {"like": 1.0, "dislike": -1.0}


def pairs(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["chosen_id"], row["rejected_id"]) for row in rows]


def test_pairs_of_one_prompt(replies: tidal.TidalDb, rows: Rows) -> None:
    for item, weight in ((1, 5.0), (2, 3.0), (3, 3.0), (4, 9.0), (5, 1.0)):
        replies.signal("rating", item, weight)
    found = rows(shape="preference")
    assert found[0] == {
        "prompt": "A?", "chosen": "reply 1", "rejected": "reply 2", "score_chosen": 5.0,
        "score_rejected": 3.0, "chosen_id": "1", "rejected_id": "2",
    }  # fmt: skip
    assert pairs(found) == [("1", "2"), ("1", "3"), ("4", "5")]  # 2 and 3 are equal, and no pair
    assert pairs(rows(shape="preference", margin=2.5)) == [("4", "5")]
    assert pairs(rows(shape="preference", pairs_per_prompt=1)) == [("1", "2"), ("4", "5")]
    assert pairs(rows(shape="preference", limit=2)) == [("1", "2"), ("1", "3")]


def test_pairs_of_one_user(rows: Rows, record: Record, account_of: Account) -> None:
    record(("like", 1, 7, 1.0), ("dislike", 2, 7, 1.0), ("dislike", 4, 7, 1.0), ("like", 3, 8, 1.0),
           ("dislike", 1, 8, 1.0), ("like", 2, 8, 1.0), ("like", 5, 9, 1.0), ("like", 5, 7, 1.0))  # fmt: skip
    found = rows(shape="preference", pairing="user", rewards=THUMBS)
    assert [(row["user_id"], *pair) for row, pair in zip(found, pairs(found), strict=True)] == [
        ("7", "1", "2"), ("7", "5", "4"), ("8", "2", "1"), ("8", "3", "1")
    ]  # fmt: skip
    assert account_of(shape="preference", pairing="user", rewards=THUMBS) == {
        "events": 8, "scores": 8, "entities": 5, "groups": 4, "groups_without_pair": 1, "rows": 4
    }  # fmt: skip


def test_conversational_pairs_have_messages(replies: tidal.TidalDb, rows: Rows, record: Record) -> None:
    thread = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"},
              {"role": "user", "content": "A?"}]  # fmt: skip
    replies.items.put_many({item: {"prompt": thread, "completion": f"reply {item}"} for item in (10, 11)})
    record(("like", 1, 1, 1.0), ("dislike", 2, 1, 1.0), ("like", 11, 1, 1.0), ("dislike", 10, 1, 1.0))
    first, second = rows(shape="preference", conversational=True, rewards=THUMBS)
    assert first["prompt"] == [("user", "A?")]
    assert (first["chosen"], first["rejected"]) == ([("assistant", "reply 1")], [("assistant", "reply 2")])
    assert second["prompt"] == [("user", "Hi"), ("assistant", "Yes?"), ("user", "A?")]
    assert second["chosen"] == [("assistant", "reply 11")]
    assert len(rows(shape="preference", rewards=THUMBS)) == 1  # as a text the thread is no prompt
